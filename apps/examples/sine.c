/* Fitting a curve: a network with two hidden layers learns the sine from noisy points, then draws them and what it
 * learned. Nothing but tensors, a module and an optimizer. */
#include <math.h>
#include <string.h>
#include <weft/weft.h>

enum { POINTS = 200, HIDDEN = 32, STEPS = 400, ROWS = 21, COLUMNS = 72 };
static const double SIDE = 3.5, TOP = 1.5, NOISE = 0.2;

typedef struct Net {
    Module base;
    Module *first, *second, *last;
} Net;

static Tensor *net_forward(Module *self, Tensor *x)
{
    Net *net = (Net *)self;
    x = op_tanh(nn_forward(net->first, x));
    x = op_tanh(nn_forward(net->second, x));
    return nn_forward(net->last, x);
}

static Module *net_new(void)
{
    Net *net = nn_module(Net, net_forward);
    nn_child(net, first, nn_linear(1, HIDDEN));
    nn_child(net, second, nn_linear(HIDDEN, HIDDEN));
    nn_child(net, last, nn_linear(HIDDEN, 1));
    return nn_ready(net);
}

/* Points x [POINTS, 1] anywhere, and y = sin x and noise. */
static void make_points(Tensor **x, Tensor **y)
{
    *x = tensor_uniform(SHAPE(POINTS, 1), -SIDE, SIDE, (RandomKey){.stream = 1});
    *y = tensor_normal(SHAPE(POINTS, 1), 0, NOISE, (RandomKey){.stream = 2});
    for (int64_t i = 0; i < tensor_count(*y); i++)
        tensor_set(*y, AT(i, 0), tensor_get(*y, AT(i, 0)) + sin(tensor_get(*x, AT(i, 0))));
}

/* One step on all points at once; the loss before it. */
static double step(Module *net, Optimizer *sgd, Tensor *x, Tensor *y)
{
    Scope scope = scope_open();
    Tensor *loss = op_mse_loss(nn_forward(net, x), y);
    double value = backward(loss) && optimizer_step(sgd) ? tensor_item(loss) : (double)NAN;
    scope_close(scope);
    return value;
}

/* Puts the mark of each point (x, y) into the picture. */
static void plot(char picture[ROWS][COLUMNS + 1], const Tensor *x, const Tensor *y, char mark)
{
    for (int64_t i = 0; i < tensor_count(x); i++) {
        int column = (int)((tensor_get(x, AT(i, 0)) + SIDE) / (2 * SIDE) * COLUMNS);
        int row = (int)((TOP - tensor_get(y, AT(i, 0))) / (2 * TOP) * ROWS);
        if (row >= 0 && row < ROWS && column >= 0 && column < COLUMNS) picture[row][column] = mark;
    }
}

static void draw(Module *net, const Tensor *x, const Tensor *y)
{
    char picture[ROWS][COLUMNS + 1];
    memset(picture, ' ', sizeof picture);
    plot(picture, x, y, '.');
    Tensor *across = tensor_zeros(SHAPE(COLUMNS, 1));
    for (int64_t i = 0; i < COLUMNS; i++)
        tensor_set(across, AT(i, 0), ((double)i + 0.5) / COLUMNS * 2 * SIDE - SIDE);
    plot(picture, across, nn_forward(net, across), '*');
    for (int row = 0; row < ROWS; row++) printf("%.*s\n", COLUMNS, picture[row]);
}

int main(void)
{
    Scope scope = scope_open();
    Tensor *x, *y;
    make_points(&x, &y);
    Module *net = net_new();
    TensorList parameters = {0};
    Optimizer *sgd = nn_parameters(net, &parameters) ? optimizer_sgd(&parameters, 0.05, .momentum = 0.9) : NULL;
    double loss = 0;
    for (int i = 1; i <= STEPS && !weft_error(); i++) {
        loss = step(net, sgd, x, y);
        if (i == 1 || i % (STEPS / 4) == 0) printf("step %3d: loss %.4f\n", i, loss);
    }
    if (!weft_error()) draw(net, x, y);
    if (weft_error()) fprintf(stderr, "sine: %s\n", weft_error());
    optimizer_free(sgd);
    tensor_list_free(&parameters);
    nn_free(net);
    scope_close(scope);
    return weft_error() ? 1 : 0;
}
