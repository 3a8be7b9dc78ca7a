/* Two moons, a classic that no straight line can part: a network with two hidden layers learns which point belongs to
 * which moon, then draws both and the boundary that it found. */
#include <math.h>
#include <weft/weft.h>

enum { POINTS = 400, HIDDEN = 32, STEPS = 400, ROWS = 24, COLUMNS = 72 };
static const double PI = 3.14159265358979, NOISE = 0.2;
static const double LEFT = -1.5, RIGHT = 2.5, TOP = 1.5, BOTTOM = -1.0;

/* Points [POINTS, 2]: the upper moon, then the lower one, which begins inside it. Labels 0 and 1. */
static void make_moons(Tensor **points, Tensor **labels)
{
    *points = tensor_normal(SHAPE(POINTS, 2), 0, NOISE, (RandomKey){.stream = 1});
    *labels = tensor_zeros(SHAPE(POINTS));
    for (int64_t i = 0; i < tensor_count(*labels); i++) {
        bool lower = i >= POINTS / 2;
        double angle = PI * random_uniform((RandomKey){.stream = 2}, (uint64_t)i);
        double x = lower ? 1 - cos(angle) : cos(angle), y = lower ? 0.5 - sin(angle) : sin(angle);
        tensor_set(*points, AT(i, 0), tensor_get(*points, AT(i, 0)) + x);
        tensor_set(*points, AT(i, 1), tensor_get(*points, AT(i, 1)) + y);
        tensor_set(*labels, AT(i), lower);
    }
}

/* One step on all points at once; the loss before it. */
static double step(Module *net, Optimizer *sgd, Tensor *points, Tensor *labels)
{
    Scope scope = scope_open();
    Tensor *loss = op_cross_entropy(nn_forward(net, points), labels);
    double value = backward(loss) && optimizer_step(sgd) ? tensor_item(loss) : (double)NAN;
    scope_close(scope);
    return value;
}

/* What the network says of the middle of each cell of the picture, [ROWS x COLUMNS], row by row. */
static Tensor *classify_plane(Module *net)
{
    Tensor *plane = tensor_zeros(SHAPE(ROWS * COLUMNS, 2));
    for (int64_t i = 0; i < tensor_count(plane) / 2; i++) {
        tensor_set(plane, AT(i, 0), LEFT + ((double)(i % COLUMNS) + 0.5) / COLUMNS * (RIGHT - LEFT));
        tensor_set(plane, AT(i, 1), TOP - ((double)(i / COLUMNS) + 0.5) / ROWS * (TOP - BOTTOM));
    }
    return op_argmax(nn_forward(net, plane), 1);
}

/* Background by what the network says, points by what they are: o and x. */
static void draw(Module *net, const Tensor *points, const Tensor *labels)
{
    char picture[ROWS][COLUMNS];
    Tensor *said = classify_plane(net);
    for (int64_t i = 0; i < tensor_count(said); i++)
        picture[i / COLUMNS][i % COLUMNS] = tensor_get(said, AT(i)) > 0 ? '.' : ' ';
    for (int64_t i = 0; said && i < tensor_count(labels); i++) {
        int column = (int)((tensor_get(points, AT(i, 0)) - LEFT) / (RIGHT - LEFT) * COLUMNS);
        int row = (int)((TOP - tensor_get(points, AT(i, 1))) / (TOP - BOTTOM) * ROWS);
        if (row >= 0 && row < ROWS && column >= 0 && column < COLUMNS)
            picture[row][column] = tensor_get(labels, AT(i)) > 0 ? 'x' : 'o';
    }
    for (int row = 0; said && row < ROWS; row++) printf("%.*s\n", COLUMNS, picture[row]);
}

int main(void)
{
    Scope scope = scope_open();
    Tensor *points, *labels;
    make_moons(&points, &labels);
    Module *net = nn_sequential(nn_linear(2, HIDDEN, .relu = true), nn_linear(HIDDEN, HIDDEN, .relu = true),
                                nn_linear(HIDDEN, 2));
    TensorList parameters = {0};
    Optimizer *sgd = nn_parameters(net, &parameters) ? optimizer_sgd(&parameters, 0.1, .momentum = 0.9) : NULL;
    for (int i = 1; i <= STEPS && !weft_error(); i++) {
        double loss = step(net, sgd, points, labels);
        if (i == 1 || i % (STEPS / 4) == 0) printf("step %3d: loss %.4f\n", i, loss);
    }
    if (!weft_error()) draw(net, points, labels);
    int64_t right = op_count_correct(nn_forward(net, points), labels);
    if (weft_error()) fprintf(stderr, "moons: %s\n", weft_error());
    else printf("%d of %d points are on their side of the boundary\n", (int)right, POINTS);
    optimizer_free(sgd);
    tensor_list_free(&parameters);
    nn_free(net);
    scope_close(scope);
    return weft_error() ? 1 : 0;
}
