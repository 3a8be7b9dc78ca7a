#include "optim/optim.h"
#include "autograd/ops.h"
#include "tensor/kernels/kernels.h"
#include "tensor/layout.h"
#include "tensor/memory.h"
#include "tests/test.h"

static const double TOLERANCE = sizeof(Real) == sizeof(double) ? 1e-12 : 2e-6;

/* Puts a gradient where backward would. */
static void give_grad(Tensor *t, const Tensor *grad)
{
    tensor_clear_grad(t);
    t->grad = tensor_retain((Tensor *)grad);
}

static Optimizer *sgd_of(Tensor *parameter, double lr, double momentum)
{
    TensorList list = {0};
    if (!tensor_list_add(&list, parameter)) return NULL;
    Optimizer *sgd = optimizer_sgd(&list, lr, .momentum = momentum);
    tensor_list_free(&list);
    return sgd;
}

/* ---- SGD ---- */

/* What torch.optim.SGD 1.13.0 makes, in float64, of w = {1, -0.5, 0.25} with the gradient c w + d and lr = 5e-4. */
typedef struct Run {
    double momentum, dampening, weight_decay;
    bool nesterov;
    double after_2[3], after_300[3];
} Run;

static const Run runs[] = {
    {0, 0, 0, false, {0.9993750781249999, -0.4992501875, 0.24943778125},
     {0.909668484155351, -0.3955067672889785, 0.1770738527939029}},
    {0, 0, 0.1, false, {0.9992751087499999, -0.49920022, 0.2494128084375},
     {0.895985270818575, -0.389349249215947, 0.1743714357813728}},
    {0.9, 0, 0, false, {0.9990938281249999, -0.4989126875, 0.24918465625},
     {0.34357877128771597, 0.08719424450863685, -0.020188436202486157}},
    {0.9, 0, 0.1, false, {0.99894885875, -0.49884022, 0.24914843343749998},
     {0.2838944871881069, 0.09296748717291181, -0.020604035576278542}},
    {0.9, 0.3, 0, false, {0.9991875546875, -0.49902513125, 0.24926894687499998},
     {0.49438958335530253, -0.011273770360975436, 0.0002658186532690573}},
    {0.8, 0.25, 0.05, false, {0.999139444609375, -0.499012027578125, 0.249267096015625},
     {0.6755775507297735, -0.17164521167942062, 0.05753153988572199}},
    {0.9, 0, 0, true, {0.99855965703125, -0.498271926875, 0.2487044528125},
     {0.343216211877776, 0.08677291949972858, -0.019908621208752027}},
    {0.9, 0, 0.1, true, {0.9983292675875, -0.49815679420000003, 0.24864692595937501},
     {0.2837447144998544, 0.09246096676605464, -0.02033649002065696}},
};

static void check_run(const Run *run)
{
    static const double c[3] = {0.5, 1, 2}, d[3] = {0.125, -0.25, 0.0625};
    Tensor *w = tensor_from(SHAPE(3), (Real[]){1, (Real)-0.5, (Real)0.25});
    TensorList list = {0};
    CHECK(tensor_list_add(&list, w));
    Optimizer *sgd = optimizer_sgd(&list, 5e-4, .momentum = run->momentum, .dampening = run->dampening,
                                   .weight_decay = run->weight_decay, .nesterov = run->nesterov);
    tensor_list_free(&list);
    CHECK(sgd);
    for (int step = 1; step <= 300; step++) {
        Scope scope = scope_open();
        Real grad[3];
        for (int i = 0; i < 3; i++) grad[i] = (Real)(c[i] * tensor_get(w, AT(i)) + d[i]);
        give_grad(w, tensor_from(SHAPE(3), grad));
        bool ok = optimizer_step(sgd);
        scope_close(scope);
        CHECK(ok);
        CHECK(!tensor_grad(w));
        const double *expected = step == 2 ? run->after_2 : step == 300 ? run->after_300 : NULL;
        for (int i = 0; expected && i < 3; i++) CHECK_CLOSE(tensor_get(w, AT(i)), expected[i], TOLERANCE);
    }
    CHECK((optimizer_velocity(sgd, 0) != NULL) == (run->momentum != 0));
    optimizer_free(sgd);
}

TEST(sgd_agrees_with_pytorch)
{
    for (size_t i = 0; i < sizeof runs / sizeof *runs && !test_failed(); i++) check_run(&runs[i]);
}

/* Every operation rounded to Real, in the order of optim.h: the bits must be those. */
TEST(sgd_rounds_every_operation)
{
    enum { COUNT = 40, STEPS = 4 };
    Tensor *w = test_tensor(SHAPE(5, 8), 1, 1);
    TensorList list = {0};
    CHECK(tensor_list_add(&list, w));
    Optimizer *sgd = optimizer_sgd(&list, 0.1, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true);
    tensor_list_free(&list);
    CHECK(sgd);
    volatile Real expected[COUNT], v[COUNT] = {0}; /* volatile: no compiler keeps a product unrounded */
    Real read[COUNT];
    CHECK(tensor_read(w, read, COUNT));
    for (int i = 0; i < COUNT; i++) expected[i] = read[i];
    for (int step = 0; step < STEPS; step++) {
        Tensor *grad = test_tensor(SHAPE(5, 8), (uint32_t)(2 + step), 1);
        give_grad(w, grad);
        for (int i = 0; i < COUNT; i++) {
            volatile Real g = (Real)tensor_get(grad, AT(i / 8, i % 8)), product = (Real)0.01 * expected[i];
            g = g + product;
            product = (Real)0.9 * v[i];
            v[i] = step == 0 ? g : product + g;
            product = (Real)0.9 * v[i];
            g = g + product;
            product = (Real)0.1 * g;
            expected[i] = expected[i] - product;
        }
        CHECK(optimizer_step(sgd));
    }
    CHECK(tensor_read(w, read, COUNT));
    for (int i = 0; i < COUNT; i++) CHECK(read[i] == expected[i]);
    optimizer_free(sgd);
}

TEST(sgd_same_bits_for_threads_and_isas)
{
    enum { COUNT = 70001 };
    int threads = weft_threads();
    Real *first = NULL;
    for (const Kernels *const *kernels = weft_kernels_all(); *kernels; kernels++) {
        for (int n = 1; n <= 3; n++) {
            Scope scope = scope_open();
            weft_kernels_use(*kernels);
            CHECK(weft_set_threads(n));
            Tensor *w = test_tensor(SHAPE(COUNT), 1, 1);
            Optimizer *sgd = sgd_of(w, 0.3, 0.9);
            for (uint32_t step = 0; step < 3; step++) {
                give_grad(w, test_tensor(SHAPE(COUNT), 2 + step, 1));
                CHECK(optimizer_step(sgd));
            }
            Real *values = test_values(w);
            CHECK(values);
            if (!first) first = values;
            CHECK_EQUAL_BITS(values, first, COUNT);
            if (values != first) free(values);
            optimizer_free(sgd);
            scope_close(scope);
        }
    }
    free(first);
    weft_kernels_use(NULL);
    CHECK(weft_set_threads(threads));
}

/* Parameters and gradients in either layout; the spare lanes stay right. */
TEST(sgd_takes_both_layouts)
{
    Shape shape = SHAPE(18, 3);
    Real *expected = NULL;
    for (int mix = 0; mix < 4; mix++) {
        const Tensor *start = test_tensor(shape, 1, 1);
        Tensor *w = tensor_retain((Tensor *)(mix & 1 ? layout_lanes(start) : start));
        Optimizer *sgd = sgd_of(w, 0.5, 0.9);
        CHECK(sgd);
        for (uint32_t step = 0; step < 2; step++) {
            Tensor *plain = test_tensor(shape, 2 + step, 1);
            plain->is_gradient = true;
            give_grad(w, mix & 2 ? layout_lanes(plain) : plain);
            const int64_t tensors = weft_counters().tensors;
            CHECK(optimizer_step(sgd));
            CHECK_EQUAL(weft_counters().tensors, tensors + (step == 0)); /* the velocity, no converted gradient */
        }
        CHECK(layout_spare_is_right(w) && layout_spare_is_right(optimizer_velocity(sgd, 0)));
        Real *values = test_values(w);
        CHECK(values);
        if (!expected) expected = values;
        CHECK_EQUAL_BITS(values, expected, 18 * 3);
        if (values != expected) free(values);
        optimizer_free(sgd);
        tensor_release(w);
    }
    free(expected);
    Tensor *bias = test_tensor(SHAPE(5), 1, 1);
    Optimizer *sgd = sgd_of(bias, 0.5, 0);
    Tensor *grad = test_tensor(SHAPE(5), 2, 1);
    grad->is_gradient = true;
    layout_fill_spare(grad);
    give_grad(bias, grad);
    CHECK(optimizer_step(sgd));
    CHECK(layout_spare_is_right(bias));
    optimizer_free(sgd);
}

TEST(sgd_leaves_what_has_no_gradient)
{
    Tensor *a = tensor_full(SHAPE(2), 1), *b = tensor_full(SHAPE(2), 1);
    TensorList list = {0};
    CHECK(tensor_list_add(&list, a) && tensor_list_add(&list, b));
    Optimizer *sgd = optimizer_sgd(&list, 1, .momentum = 0.5, .weight_decay = 1);
    tensor_list_free(&list);
    give_grad(a, tensor_full(SHAPE(2), 1));
    int64_t version_a = tensor_version(a), version_b = tensor_version(b);
    CHECK(optimizer_step(sgd));
    CHECK_CLOSE(tensor_get(a, AT(0)), -1, 0);
    CHECK_CLOSE(tensor_get(b, AT(0)), 1, 0);
    CHECK(tensor_version(a) > version_a);
    CHECK_EQUAL(tensor_version(b), version_b);
    CHECK_CLOSE(tensor_get(optimizer_velocity(sgd, 0), AT(1)), 2, 0);
    CHECK(!optimizer_velocity(sgd, 1));
    give_grad(b, tensor_full(SHAPE(2), 1)); /* its first step, though the optimizer's second */
    CHECK(optimizer_step(sgd));
    CHECK_CLOSE(tensor_get(b, AT(0)), -1, 0);
    give_grad(a, tensor_full(SHAPE(2), 1));
    optimizer_clear(sgd);
    CHECK(!tensor_grad(a));
    CHECK_CLOSE(tensor_get(a, AT(0)), -1, 0);
    optimizer_free(sgd);
}

/* An infinite weight without decay stays infinite: 0 times infinity must not come into it. */
TEST(sgd_zero_decay_is_left_out)
{
    Tensor *w = tensor_full(SHAPE(1), (double)INFINITY);
    Optimizer *sgd = sgd_of(w, 0.1, 0);
    give_grad(w, tensor_full(SHAPE(1), 1));
    CHECK(optimizer_step(sgd));
    CHECK(isinf(tensor_item(w)));
    optimizer_free(sgd);
}

/* Whichever allocation fails: nothing has changed, and the step can be taken again. */
TEST(sgd_step_is_all_or_nothing)
{
    Tensor *a = test_tensor(SHAPE(3, 4), 1, 1), *b = test_tensor(SHAPE(17, 2), 2, 1);
    Tensor *grad_a = test_tensor(SHAPE(3, 4), 3, 1);
    const Tensor *grad_b = layout_lanes(test_tensor(SHAPE(17, 2), 4, 1)); /* its conversion allocates too */
    TensorList list = {0};
    CHECK(grad_b && tensor_list_add(&list, a) && tensor_list_add(&list, b));
    Optimizer *sgd = optimizer_sgd(&list, 1, .momentum = 0.9);
    tensor_list_free(&list);
    give_grad(a, grad_a);
    give_grad(b, grad_b);
    Real *before_a = test_values(a), *before_b = test_values(b);
    int failures = 0;
    for (;; failures++) {
        weft_alloc_fail_at(1 + failures);
        bool ok = optimizer_step(sgd);
        weft_alloc_fail_at(0);
        if (ok) break;
        CHECK_ERROR("memory");
        Real *after_a = test_values(a), *after_b = test_values(b);
        CHECK_EQUAL_BITS(after_a, before_a, 3 * 4);
        CHECK_EQUAL_BITS(after_b, before_b, 17 * 2);
        CHECK(tensor_grad(a) == grad_a && tensor_grad(b) == grad_b);
        CHECK(!optimizer_velocity(sgd, 0) && !optimizer_velocity(sgd, 1));
        free(after_a);
        free(after_b);
    }
    CHECK(failures >= 4);
    CHECK_CLOSE(tensor_get(a, AT(1, 2)), (double)before_a[6] - tensor_get(grad_a, AT(1, 2)), 1e-6);
    CHECK_CLOSE(tensor_get(b, AT(16, 1)), (double)before_b[33] - tensor_get(grad_b, AT(16, 1)), 1e-6);
    free(before_a);
    free(before_b);
    optimizer_free(sgd);
    CHECK(!optimizer_step(NULL));
    CHECK_ERROR("no optimizer");
}

/* The optimizer keeps its parameters and needs no scope. */
TEST(sgd_outlives_scopes)
{
    Scope scope = scope_open();
    Tensor *w = tensor_full(SHAPE(4), 3);
    Optimizer *sgd = sgd_of(w, 1, 0.5);
    give_grad(w, tensor_full(SHAPE(4), 1));
    scope_close(scope);
    CHECK(optimizer_step(sgd));
    CHECK_CLOSE(tensor_get(w, AT(3)), 2, 0);
    CHECK_CLOSE(tensor_get(optimizer_velocity(sgd, 0), AT(3)), 1, 0);
    optimizer_free(sgd);
    optimizer_free(NULL);
}

TEST(sgd_resumes_from_its_velocity)
{
    Tensor *w = tensor_full(SHAPE(2), 1);
    Optimizer *sgd = sgd_of(w, 1, 0.5);
    CHECK(optimizer_set_velocity(sgd, 0, tensor_full(SHAPE(2), 4)));
    give_grad(w, tensor_full(SHAPE(2), 1));
    CHECK(optimizer_step(sgd));
    CHECK_CLOSE(tensor_get(w, AT(0)), 1 - (0.5 * 4 + 1), 0);
    CHECK(!optimizer_set_velocity(sgd, 0, tensor_full(SHAPE(3), 4)));
    CHECK_ERROR("[3] for parameter 0, which is [2]");
    CHECK(!optimizer_set_velocity(sgd, 1, tensor_full(SHAPE(2), 4)));
    CHECK_ERROR("no parameter 1");
    CHECK(!optimizer_velocity(sgd, -1));
    CHECK_ERROR("no parameter -1");
    optimizer_free(sgd);
}

/* As in PyTorch, whose buffers wait for a momentum that comes back; and a velocity may be set while there is none. */
TEST(sgd_keeps_its_velocity_while_momentum_is_off)
{
    Tensor *w = tensor_full(SHAPE(2), 1);
    Optimizer *sgd = sgd_of(w, 1, 0.5);
    static const double momentum[] = {0.5, 0, 0.5}, expected[] = {0, -1, -2.5};
    for (int step = 0; step < 3; step++) { /* v = 1; none; v = 0.5 + 1 */
        CHECK(optimizer_set_momentum(sgd, momentum[step]));
        give_grad(w, tensor_full(SHAPE(2), 1));
        CHECK(optimizer_step(sgd));
        CHECK_CLOSE(tensor_get(w, AT(1)), expected[step], 0);
    }
    optimizer_free(sgd);
    sgd = sgd_of(w, 1, 0);
    CHECK(optimizer_set_velocity(sgd, 0, tensor_full(SHAPE(2), 4)));
    CHECK_CLOSE(tensor_get(optimizer_velocity(sgd, 0), AT(1)), 4, 0);
    optimizer_free(sgd);
}

TEST(sgd_checks_its_options)
{
    Tensor *w = tensor_full(SHAPE(2), 1);
    TensorList list = {0};
    CHECK(!optimizer_sgd(&list, 0.1));
    CHECK_ERROR("no parameters");
    CHECK(!optimizer_sgd(&(TensorList){.items = (Tensor *[]){NULL}, .count = 1}, 0.1));
    CHECK_ERROR("parameter 0 is NULL");
    CHECK(!optimizer_sgd(NULL, 0.1));
    CHECK_ERROR("no parameters");
    CHECK(tensor_list_add(&list, w));
    CHECK(!optimizer_sgd(&list, -0.1));
    CHECK_ERROR("lr is -0.1");
    CHECK(!optimizer_sgd(&list, (double)NAN));
    CHECK_ERROR("lr is");
    CHECK(!optimizer_sgd(&list, 0.1, .momentum = -1));
    CHECK_ERROR("momentum is -1");
    CHECK(!optimizer_sgd(&list, 0.1, .weight_decay = (double)INFINITY));
    CHECK_ERROR("weight_decay is inf");
    CHECK(!optimizer_sgd(&list, 0.1, .nesterov = true));
    CHECK_ERROR("nesterov");
    CHECK(!optimizer_sgd(&list, 0.1, .momentum = 0.9, .dampening = 0.1, .nesterov = true));
    CHECK_ERROR("nesterov needs a momentum above 0 and no dampening; they are 0.9 and 0.1");
    CHECK(!optimizer_sgd(&list, 0.1, .momentum = 0.9, .dampening = (double)NAN));
    CHECK_ERROR("dampening is nan");
    Optimizer *sgd = optimizer_sgd(&list, 0.1, .momentum = 0.9);
    CHECK_CLOSE(optimizer_lr(sgd), 0.1, 0);
    CHECK_CLOSE(optimizer_momentum(sgd), 0.9, 0);
    CHECK(optimizer_set_lr(sgd, 0.25) && optimizer_set_momentum(sgd, 0.5));
    CHECK_CLOSE(optimizer_lr(sgd), 0.25, 0);
    CHECK_CLOSE(optimizer_momentum(sgd), 0.5, 0);
    CHECK(!optimizer_set_lr(sgd, -1));
    CHECK_ERROR("optimizer_set_lr: lr is -1");
    CHECK(!optimizer_set_momentum(sgd, (double)NAN));
    CHECK_ERROR("optimizer_set_momentum");
    CHECK_CLOSE(optimizer_lr(sgd), 0.25, 0);
    optimizer_free(sgd);
    tensor_list_free(&list);
}

TEST(sgd_takes_each_leaf_once)
{
    Tensor *a = tensor_full(SHAPE(2), 1), *b = tensor_full(SHAPE(2), 1);
    CHECK(!optimizer_sgd(&(TensorList){.items = (Tensor *[]){a, b, a}, .count = 3}, 0.1));
    CHECK_ERROR("parameters 0 and 2 are the same tensor");
    tensor_set_requires_grad(a, true);
    CHECK(!optimizer_sgd(&(TensorList){.items = (Tensor *[]){b, op_square(a)}, .count = 2}, 0.1));
    CHECK_ERROR("parameter 1 is the result of an op");
}

/* ---- Schedules ---- */

typedef struct Point {
    int64_t step;
    double lr, momentum;
} Point;

static void check_schedule(Schedule schedule, const Point *points, size_t count)
{
    CHECK(schedule_check(&schedule));
    for (size_t i = 0; i < count; i++) {
        CHECK(fabs(schedule_lr(&schedule, points[i].step) - points[i].lr) <= 1e-12 * points[i].lr);
        CHECK_CLOSE(schedule_momentum(&schedule, points[i].step, 0.9), points[i].momentum, 1e-12);
    }
}
#define CHECK_SCHEDULE(schedule, ...)                                                                                  \
    check_schedule(schedule, (const Point[])__VA_ARGS__, sizeof(Point[])__VA_ARGS__ / sizeof(Point))

/* The numbers are those of torch.optim.lr_scheduler 1.13.0, of an SGD with momentum 0.9. */
TEST(step_schedule_agrees_with_pytorch)
{
    Schedule step = {.kind = SCHEDULE_STEP, .lr = 0.1, .step_size = 3, .gamma = 0.7};
    CHECK_SCHEDULE(step, {{0, 0.1, 0.9}, {2, 0.1, 0.9}, {3, 0.06999999999999999, 0.9}, {8, 0.048999999999999995, 0.9},
                          {9, 0.0343, 0.9}, {19, 0.011764899999999997, 0.9}});
    Schedule tenths = {.kind = SCHEDULE_STEP, .lr = 0.1, .step_size = 1};
    CHECK_SCHEDULE(tenths, {{0, 0.1, 0.9}, {1, 0.010000000000000002, 0.9}, {5, 1.0000000000000004e-06, 0.9}});
    Schedule constant = {.kind = SCHEDULE_CONSTANT, .lr = 0.1};
    CHECK_SCHEDULE(constant, {{0, 0.1, 0.9}, {1000000, 0.1, 0.9}});
}

TEST(one_cycle_agrees_with_pytorch)
{
    Schedule cycle = {.kind = SCHEDULE_ONE_CYCLE, .lr = 0.05, .total_steps = 20, .cycle_momentum = true};
    CHECK_SCHEDULE(cycle, {
        {0, 0.0020000000000000018, 0.95}, {1, 0.006583592135001266, 0.9404508497187474},
        {2, 0.018583592135001263, 0.9154508497187474}, {3, 0.033416407864998735, 0.8845491502812526},
        {4, 0.04541640786499874, 0.8595491502812526}, {5, 0.05, 0.85}, {6, 0.04937320031175437, 0.8512536043909088},
        {7, 0.04752423160067369, 0.854951556604879}, {8, 0.0445458088785525, 0.8609084258765984},
        {9, 0.04058728269748815, 0.8688255099070633}, {10, 0.035847150089565044, 0.878305813044122},
        {11, 0.030563101096814465, 0.8888739533021842}, {12, 0.0250001, 0.8999999999999999},
        {13, 0.019437098903185537, 0.9111260466978157}, {14, 0.014153049910434961, 0.9216941869558779},
        {15, 0.00941291730251185, 0.9311744900929366}, {16, 0.005454391121447502, 0.9390915741234015},
        {17, 0.0024759683993263145, 0.945048443395121}, {18, 0.0006269996882456277, 0.9487463956090911},
        {19, 2e-07, 0.95}, {20, 2e-07, 0.95}, {1000, 2e-07, 0.95}});
    Schedule options = {.kind = SCHEDULE_ONE_CYCLE, .lr = 0.3, .total_steps = 1000, .warmup = 0.25, .start_divisor = 10,
                        .final_divisor = 100, .cycle_momentum = true, .max_momentum = 0.9, .base_momentum = 0.8};
    CHECK_SCHEDULE(options, {
        {0, 0.02999999999999997, 0.9}, {1, 0.03001074481798266, 0.8999960204377843},
        {100, 0.12393119786975937, 0.8652106674556447}, {249, 0.3, 0.8},
        {250, 0.29999868537061597, 0.8000004386484432}, {251, 0.29999474150553035, 0.800001754586076},
        {600, 0.16518920297045453, 0.8449819142574393}, {998, 0.000301314629384026, 0.8999995613515569},
        {999, 0.0003, 0.9}});
}

/* Where 0.3 of the steps is not a whole number, or not even one step. */
TEST(short_one_cycle_agrees_with_pytorch)
{
    Schedule seven = {.kind = SCHEDULE_ONE_CYCLE, .lr = 0.05, .total_steps = 7};
    CHECK_SCHEDULE(seven, {
        {0, 0.0020000000000000018, 0.9}, {1, 0.04902783136674794, 0.9}, {2, 0.04595221881348553, 0.9},
        {3, 0.03363419182402726, 0.9}, {4, 0.017886938786982852, 0.9}, {5, 0.00496483959466328, 0.9}, {6, 2e-07, 0.9}});
    Schedule three = {.kind = SCHEDULE_ONE_CYCLE, .lr = 0.05, .total_steps = 3, .cycle_momentum = true};
    CHECK_SCHEDULE(three, {
        {0, 0.049720771772545594, 0.8505584586887436}, {1, 0.023131855133348752, 0.9037365046793212},
        {2, 2e-07, 0.95}});
    /* A warmup that ends where it begins, at which PyTorch divides by zero, is at its peak. */
    Schedule sudden = {.kind = SCHEDULE_ONE_CYCLE, .lr = 0.05, .total_steps = 8, .warmup = 0.125,
                       .cycle_momentum = true};
    CHECK_SCHEDULE(sudden, {{0, 0.05, 0.85}, {7, 2e-07, 0.95}});
    /* All of it a warmup: the last step is the peak. */
    Schedule rising = {.kind = SCHEDULE_ONE_CYCLE, .lr = 0.05, .total_steps = 5, .warmup = 1, .cycle_momentum = true};
    CHECK_SCHEDULE(rising, {{0, 0.002, 0.95}, {2, 0.026, 0.9}, {4, 0.05, 0.85}, {5, 0.05, 0.85}});
    for (int64_t total = 1; total < 12; total++) {
        Schedule cycle = {.kind = SCHEDULE_ONE_CYCLE, .lr = 0.05, .total_steps = total, .warmup = 0.5};
        for (int64_t step = 0; step < total + 2; step++) CHECK(isfinite(schedule_lr(&cycle, step)));
    }
}

TEST(schedule_sets_the_optimizer)
{
    Optimizer *sgd = sgd_of(tensor_full(SHAPE(2), 1), 0.1, 0.9);
    Schedule cycle = {.kind = SCHEDULE_ONE_CYCLE, .lr = 0.05, .total_steps = 20, .cycle_momentum = true};
    CHECK(schedule_apply(&cycle, sgd, 5));
    CHECK_CLOSE(optimizer_lr(sgd), 0.05, 1e-12);
    CHECK_CLOSE(optimizer_momentum(sgd), 0.85, 1e-12);
    CHECK(!schedule_apply(&cycle, sgd, -1));
    CHECK_ERROR("step -1");
    CHECK(!schedule_apply(&cycle, NULL, 0));
    CHECK_ERROR("no optimizer");
    /* A momentum that is not cycled stays, and a schedule that is wrong sets nothing. */
    CHECK(optimizer_set_momentum(sgd, 0.7));
    CHECK(schedule_apply(&(Schedule){.kind = SCHEDULE_STEP, .lr = 0.2, .step_size = 4}, sgd, 3));
    CHECK(!schedule_apply(&(Schedule){.kind = SCHEDULE_ONE_CYCLE, .lr = 0.3}, sgd, 0));
    CHECK_ERROR("total_steps is 0");
    CHECK_CLOSE(optimizer_lr(sgd), 0.2, 0);
    CHECK_CLOSE(optimizer_momentum(sgd), 0.7, 0);
    optimizer_free(sgd);
}

TEST(schedule_checks_its_members)
{
    static const struct {
        Schedule schedule;
        const char *message;
    } wrong[] = {
        {{.kind = SCHEDULE_CONSTANT, .lr = -1}, "lr is -1"},
        {{.kind = SCHEDULE_CONSTANT, .lr = INFINITY}, "lr is inf"},
        {{.kind = SCHEDULE_STEP, .lr = 1}, "step_size is 0"},
        {{.kind = SCHEDULE_STEP, .lr = 1, .step_size = 1, .gamma = -0.5}, "gamma is -0.5"},
        {{.kind = SCHEDULE_ONE_CYCLE, .lr = 1}, "total_steps is 0"},
        {{.kind = SCHEDULE_ONE_CYCLE, .lr = 1, .total_steps = 9, .warmup = 1.5}, "warmup is 1.5"},
        {{.kind = SCHEDULE_ONE_CYCLE, .lr = 1, .total_steps = 9, .start_divisor = -1}, "start_divisor is -1"},
        {{.kind = SCHEDULE_ONE_CYCLE, .lr = 1, .total_steps = 9, .final_divisor = -1}, "final_divisor is -1"},
        {{.kind = SCHEDULE_ONE_CYCLE, .lr = 1, .total_steps = 9, .max_momentum = -1}, "max_momentum is -1"},
        {{.kind = SCHEDULE_ONE_CYCLE, .lr = 1, .total_steps = 9, .base_momentum = -1}, "base_momentum is -1"},
        {{.kind = (ScheduleKind)7}, "no kind 7"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(!schedule_check(&wrong[i].schedule));
        CHECK_ERROR(wrong[i].message);
    }
    CHECK_CLOSE(schedule_lr(NULL, 0), 0, 0);
    CHECK_CLOSE(schedule_momentum(NULL, 0, 0.5), 0.5, 0);
    CHECK(!schedule_check(NULL));
    CHECK_ERROR("schedule");
}
