/* The trainer's passes, on a data set small enough to know by heart: the class of an image is its bright quarter. */
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "apps/trainer_clock.h"
#include "apps/trainer_statistics.h"
#include "tensor/memory.h"
#include "tests/sessions.h"
#include "tests/test.h"

enum { SIDE = 8, CLASSES = 4, COUNT = 50, BATCH = 16, STEPS = 4, FEATURES = 4 * 6 * 6 };
static const double RATE = 0.1;

/* The last batch is a partial one: 50 = 3 * 16 + 2. */
static Dataset *quarters(void)
{
    static uint8_t images[COUNT][SIDE][SIDE], labels[COUNT];
    for (int n = 0; n < COUNT; n++) {
        labels[n] = (uint8_t)(n * 7 % CLASSES);
        for (int y = 0; y < SIDE; y++) {
            for (int x = 0; x < SIDE; x++) {
                bool bright = y / (SIDE / 2) == labels[n] / 2 && x / (SIDE / 2) == labels[n] % 2;
                images[n][y][x] = (uint8_t)((bright ? 180 : 0) + (n * 31 + y * 17 + x * 29) % 70);
            }
        }
    }
    return dataset_from(&images[0][0][0], labels, COUNT, 1, SIDE, SIDE, CLASSES);
}

/* A network, data and an optimizer: what a pass needs. */
typedef struct Setting {
    Module *net;
    Loader *loader;
    Optimizer *sgd;
    TensorList parameters;
} Setting;

static Module *net_new(double dropout)
{
    return nn_sequential(nn_conv2d(1, 4, 3, .relu = true), nn_batch_norm2d(4), nn_dropout(dropout), nn_flatten(),
                         nn_linear(FEATURES, CLASSES), nn_log_softmax(1));
}

static Setting setting_new(double dropout, double rate)
{
    nn_seed(3);
    Setting s = {.net = net_new(dropout)};
    Dataset *dataset = quarters();
    s.loader = loader_new(dataset, BATCH, .shuffle = true, .seed = 5, .mean = 0.3, .deviation = 0.3);
    dataset_free(dataset);
    if (nn_parameters(s.net, &s.parameters)) s.sgd = optimizer_sgd(&s.parameters, rate, .momentum = 0.9);
    return s;
}

static void setting_free(Setting *s)
{
    tensor_list_free(&s->parameters);
    optimizer_free(s->sgd);
    loader_free(s->loader);
    nn_free(s->net);
}

/* All parameters of two networks are the same bits. */
static void check_same_parameters(const Setting *a, const Setting *b)
{
    CHECK_EQUAL(a->parameters.count, b->parameters.count);
    for (int64_t i = 0; i < a->parameters.count; i++) {
        Real *x = test_values(a->parameters.items[i]), *y = test_values(b->parameters.items[i]);
        int64_t count = tensor_count(a->parameters.items[i]);
        bool same = x != NULL && y != NULL && memcmp(x, y, (size_t)count * sizeof *x) == 0;
        free(x);
        free(y);
        CHECK(same);
    }
}

TEST(trainer_learns_and_counts)
{
    Setting s = setting_new(0, RATE);
    PassMetrics first = {0}, last = {0}, test = {0};
    CHECK(trainer_train(&first, s.net, s.loader, op_nll_loss, s.sgd));
    for (int epoch = 0; epoch < 4; epoch++) CHECK(trainer_train(&last, s.net, s.loader, op_nll_loss, s.sgd));
    CHECK(trainer_test(&test, s.net, s.loader, op_nll_loss));
    CHECK(last.loss < first.loss / 2);
    CHECK(first.accuracy < 1);
    CHECK_CLOSE(test.accuracy, 1, 0);
    CHECK_EQUAL(first.samples, COUNT);
    CHECK_EQUAL(test.samples, COUNT);
    CHECK(first.seconds > 0);
    setting_free(&s);
}

/* A pass in batches of 16, 16, 16 and 2 measures what one batch of all 50 does: a mean of means would not. */
TEST(trainer_test_measures_means_over_samples)
{
    Setting s = setting_new(0, RATE);
    PassMetrics trained = {0}, test = {0};
    CHECK(trainer_train(&trained, s.net, s.loader, op_nll_loss, s.sgd));
    CHECK(trainer_test(&test, s.net, s.loader, op_nll_loss));
    Dataset *dataset = quarters();
    Loader *whole = loader_new(dataset, COUNT, .mean = 0.3, .deviation = 0.3);
    dataset_free(dataset);
    Batch batch;
    CHECK(loader_next(whole, &batch));
    nn_eval(s.net);
    Tensor *output = nn_forward(s.net, batch.images);
    CHECK_CLOSE(test.loss, tensor_item(op_nll_loss(output, batch.labels)), 1e-6);
    CHECK_CLOSE(test.accuracy, (double)op_count_correct(output, batch.labels) / COUNT, 0);
    loader_free(whole);
    setting_free(&s);
}

/* The pass is the loop that the headers show, schedule included, bit for bit; label smoothing is of the steps alone. */
static void check_plain_loop(double smoothing)
{
    Setting a = setting_new(0.25, RATE), b = setting_new(0.25, RATE);
    const Schedule schedule = {.kind = SCHEDULE_ONE_CYCLE, .lr = RATE, .total_steps = 2 * STEPS,
                               .cycle_momentum = true};
    int64_t step = 0, plain_step = 0;
    for (int epoch = 0; epoch < 2; epoch++) {
        PassMetrics trained = {0};
        CHECK(trainer_train(&trained, a.net, a.loader, op_nll_loss, a.sgd, &schedule, &step,
                            .label_smoothing = smoothing));
        Batch batch;
        double loss_sum = 0;
        int64_t correct = 0;
        while (loader_next(b.loader, &batch)) {
            Scope scope = scope_open();
            Tensor *output = nn_forward(b.net, batch.images), *loss = op_nll_loss(output, batch.labels);
            loss_sum += tensor_item(loss) * (double)batch.count;
            correct += op_count_correct(output, batch.labels);
            if (smoothing > 0) loss = op_cross_entropy(output, batch.labels, .label_smoothing = smoothing);
            CHECK(schedule_apply(&schedule, b.sgd, plain_step++) && backward(loss) && optimizer_step(b.sgd));
            scope_close(scope);
        }
        CHECK_CLOSE(trained.loss, loss_sum / COUNT, 0);
        CHECK_CLOSE(trained.accuracy, (double)correct / COUNT, 0);
        CHECK_EQUAL(step, (epoch + 1) * STEPS);
    }
    CHECK_CLOSE(optimizer_lr(a.sgd), schedule_lr(&schedule, 2 * STEPS - 1), 0);
    check_same_parameters(&a, &b);
    setting_free(&a);
    setting_free(&b);
}

TEST(trainer_train_is_the_plain_loop)
{
    check_plain_loop(0);
    check_plain_loop(0.1);
}

/* Without a place of the caller's, each pass begins at the schedule's first step. */
TEST(trainer_train_begins_the_schedule_in_each_pass)
{
    Setting s = setting_new(0, RATE);
    const Schedule schedule = {.kind = SCHEDULE_ONE_CYCLE, .lr = RATE, .total_steps = 3 * STEPS};
    PassMetrics trained = {0};
    for (int pass = 0; pass < 2; pass++) {
        CHECK(trainer_train(&trained, s.net, s.loader, op_nll_loss, s.sgd, &schedule));
        CHECK_CLOSE(optimizer_lr(s.sgd), schedule_lr(&schedule, STEPS - 1), 0);
    }
    setting_free(&s);
}

/* ---- Failing ---- */

static int bad_after; /* steps until the loss is no longer finite */
static double bad_value;

static Tensor *bad_loss(Tensor *output, Tensor *labels)
{
    Tensor *loss = op_nll_loss(output, labels);
    return bad_after-- > 0 ? loss : op_mul_scalar(loss, bad_value);
}

static void check_stops(double value, const char *message)
{
    Setting a = setting_new(0, RATE), b = setting_new(0, RATE);
    PassMetrics trained = {0};
    bad_after = 2;
    bad_value = value;
    CHECK(!trainer_train(&trained, a.net, a.loader, bad_loss, a.sgd));
    CHECK_ERROR(message);
    CHECK_EQUAL(trained.samples, 2 * BATCH);
    Batch batch;
    for (int i = 0; i < 2; i++) {
        CHECK(loader_next(b.loader, &batch));
        CHECK(backward(op_nll_loss(nn_forward(b.net, batch.images), batch.labels)) && optimizer_step(b.sgd));
    }
    check_same_parameters(&a, &b);
    for (int64_t i = 0; i < a.parameters.count; i++) CHECK(tensor_grad(a.parameters.items[i]) == NULL);
    setting_free(&a);
    setting_free(&b);
}

TEST(trainer_stops_at_a_nan_before_it_reaches_a_weight)
{
    check_stops(NAN, "the loss is NaN at step 3 of 4");
}

TEST(trainer_stops_at_an_infinite_loss)
{
    check_stops(INFINITY, "the loss is infinite at step 3 of 4");
}

/* A class that the network rules out has a label's share where labels are smoothed: the criterion is finite, what the
 * steps follow is not. */
static Tensor *forward_ruling_out(Module *self, Tensor *x)
{
    Tensor *scores = nn_forward_children(self, x);
    Tensor *none = tensor_full(SHAPE(tensor_size(x, 0), 1), -INFINITY);
    return op_concat((Tensor *[]){scores, none}, 2, 1);
}

TEST(trainer_stops_at_a_smoothed_loss_that_is_infinite)
{
    Setting a = setting_new(0, RATE), b = setting_new(0, RATE);
    PassMetrics trained = {0};
    a.net->forward = forward_ruling_out;
    CHECK(!trainer_train(&trained, a.net, a.loader, op_nll_loss, a.sgd, .label_smoothing = 0.1));
    CHECK_ERROR("the loss is infinite at step 1 of 4");
    check_same_parameters(&a, &b);
    setting_free(&a);
    setting_free(&b);
}

/* The criterion that an app names is what its passes measure. */
TEST(trainer_runs_measure_the_apps_criterion)
{
    const TrainerApp app = {.name = "app", .model = net_new, .criterion = bad_loss, .epochs = 1, .batch_size = BATCH,
                            .lr = RATE};
    TrainerSession session = session_of(&app, quarters(), COUNT - BATCH, NULL, false);
    TrainerRun run;
    PassMetrics test;
    bad_value = NAN;
    CHECK(trainer_run_open(&run, &session, 1));
    bad_after = 1;
    CHECK(!trainer_run_train(&run, &session));
    CHECK_ERROR("the loss is NaN at step 2 of 3");
    bad_after = 0;
    CHECK(!trainer_run_test(&run, &session, &test));
    CHECK_ERROR("the loss is NaN at step 1 of 1");
    trainer_run_close(&run);
    session_free(&session);
}

static Tensor *many_losses(Tensor *output, Tensor *labels)
{
    (void)labels;
    return output;
}

TEST(trainer_refuses_what_it_cannot_train)
{
    Setting s = setting_new(0, RATE);
    PassMetrics metrics = {0};
    for (int missing = 0; missing < 5; missing++) {
        PassMetrics *result = missing == 0 ? NULL : &metrics;
        TrainPass pass = {.model = s.net, .loader = s.loader, .criterion = op_nll_loss, .optimizer = s.sgd};
        if (missing == 1) pass.model = NULL;
        if (missing == 2) pass.loader = NULL;
        if (missing == 3) pass.criterion = NULL;
        if (missing == 4) pass.optimizer = NULL;
        CHECK(!trainer_train_with(result, pass));
        CHECK_ERROR("trainer_train: result, model, loader, criterion or optimizer is NULL");
        if (missing == 4) continue;
        CHECK(!trainer_test(result, pass.model, pass.loader, pass.criterion));
        CHECK_ERROR("trainer_test: result, model, loader or criterion is NULL");
    }
    CHECK(!trainer_train(&metrics, s.net, s.loader, many_losses, s.sgd));
    CHECK_ERROR("64 values");
    Module *other = nn_linear(3, CLASSES);
    CHECK(!trainer_test(&metrics, other, s.loader, op_nll_loss));
    CHECK_ERROR("[16, 1, 8, 8]");
    nn_free(other);
    setting_free(&s);
}

/* ---- Modes and progress ---- */

/* What a run trains and tests on is MNIST as its mean and deviation have it. */
TEST(trainer_runs_normalise_images)
{
    const TrainerApp app = {.name = "app", .model = net_new, .epochs = 1, .batch_size = BATCH, .lr = RATE};
    TrainerSession session = session_of(&app, quarters(), COUNT - BATCH, NULL, false);
    TrainerRun run;
    CHECK(trainer_run_open(&run, &session, 1));
    Loader *const loaders[] = {run.train, run.test};
    for (int i = 0; i < 2; i++) {
        Batch batch;
        CHECK(loader_next(loaders[i], &batch));
        const double byte = dataset_image(session.train_set, batch.indices[0])[0];
        CHECK_CLOSE(tensor_get(batch.images, AT(0, 0, 0, 0)), (byte / 255 - 0.1307) / 0.3081, 1e-5);
    }
    trainer_run_close(&run);
    session_free(&session);
}

static Module *watched;
static int watched_steps;
static bool was_training, was_recording;

static Tensor *watching_loss(Tensor *output, Tensor *labels)
{
    watched_steps++;
    was_training = watched->training;
    was_recording = autograd_is_recording();
    return op_nll_loss(output, labels);
}

TEST(trainer_test_records_nothing_and_puts_the_mode_back)
{
    Setting s = setting_new(0.5, RATE);
    PassMetrics first = {0}, second = {0};
    watched = s.net;
    watched_steps = 0;
    CHECK(trainer_test(&first, s.net, s.loader, watching_loss));
    CHECK_EQUAL(watched_steps, STEPS);
    CHECK(!was_training && !was_recording);
    CHECK(s.net->training && autograd_is_recording());
    nn_eval(s.net);
    CHECK(trainer_test(&second, s.net, s.loader, op_nll_loss));
    CHECK(!s.net->training);
    CHECK_CLOSE(second.loss, first.loss, 1e-6); /* no dropout, and running statistics that testing left alone */
    CHECK(trainer_train(&second, s.net, s.loader, watching_loss, s.sgd));
    CHECK(was_training && was_recording && s.net->training);
    bad_after = 1;
    bad_value = NAN;
    CHECK(!trainer_test(&second, s.net, s.loader, bad_loss));
    CHECK_ERROR("step 2 of 4");
    CHECK(s.net->training && autograd_is_recording());
    setting_free(&s);
}

TEST(trainer_test_leaves_a_frozen_child_frozen)
{
    Setting s = setting_new(0.5, RATE);
    PassMetrics test = {0};
    enum { FROZEN = 1 };
    nn_eval(s.net->children[FROZEN].module);
    CHECK(trainer_test(&test, s.net, s.loader, op_nll_loss));
    CHECK(s.net->training);
    for (int64_t i = 0; i < s.net->child_count; i++)
        CHECK_EQUAL(s.net->children[i].module->training, i != FROZEN);
    nn_eval(s.net);
    nn_train(s.net->children[FROZEN].module);
    CHECK(trainer_test(&test, s.net, s.loader, op_nll_loss));
    CHECK(!s.net->training && s.net->children[FROZEN].module->training);
    setting_free(&s);
}

typedef struct Reports {
    int64_t calls, stop_at, steps, samples;
} Reports;

static bool report(const PassMetrics *so_far, int64_t step, int64_t steps, void *context)
{
    Reports *reports = context;
    reports->calls++;
    reports->steps = steps;
    reports->samples = so_far->samples;
    return step == reports->calls && step != reports->stop_at;
}

TEST(trainer_reports_each_step_and_can_be_stopped)
{
    Setting s = setting_new(0, RATE);
    Reports all = {0}, some = {.stop_at = 2};
    PassMetrics metrics = {0};
    CHECK(trainer_train(&metrics, s.net, s.loader, op_nll_loss, s.sgd, .progress = report, .context = &all));
    CHECK_EQUAL(all.calls, STEPS);
    CHECK_EQUAL(all.steps, STEPS);
    CHECK_EQUAL(all.samples, COUNT);
    CHECK(!trainer_test(&metrics, s.net, s.loader, op_nll_loss, report, &some));
    CHECK_ERROR("interrupted");
    CHECK_EQUAL(some.calls, 2);
    CHECK_EQUAL(metrics.samples, 2 * BATCH);
    setting_free(&s);
}

/* Whatever a loader was used for before: a pass that was stopped, batches of the caller's own up to the last. */
TEST(trainer_passes_begin_with_the_first_image)
{
    Setting s = setting_new(0, RATE);
    PassMetrics whole = {0}, test = {0};
    Batch batch;
    CHECK(trainer_test(&whole, s.net, s.loader, op_nll_loss));
    CHECK(!trainer_test(&test, s.net, s.loader, op_nll_loss, report, &(Reports){.stop_at = 2}));
    CHECK_ERROR("interrupted");
    CHECK(trainer_test(&test, s.net, s.loader, op_nll_loss));
    CHECK_EQUAL(test.samples, COUNT);
    CHECK_CLOSE(test.loss, whole.loss, 1e-6);
    for (int i = 0; i < STEPS; i++) CHECK(loader_next(s.loader, &batch));
    test.samples = 0;
    CHECK(trainer_test(&test, s.net, s.loader, op_nll_loss));
    CHECK_EQUAL(test.samples, COUNT);
    CHECK(loader_next(s.loader, &batch));
    CHECK(trainer_train(&test, s.net, s.loader, op_nll_loss, s.sgd));
    CHECK_EQUAL(test.samples, COUNT);
    setting_free(&s);
}

TEST(trainer_passes_do_nothing_after_an_error)
{
    Setting s = setting_new(0, RATE), same = setting_new(0, RATE);
    PassMetrics metrics = {0};
    weft_fail("an earlier error");
    CHECK(!trainer_train(&metrics, s.net, s.loader, op_nll_loss, s.sgd));
    CHECK(!trainer_test(&metrics, s.net, s.loader, op_nll_loss));
    CHECK_ERROR("an earlier error");
    CHECK_EQUAL(metrics.samples, 0);
    check_same_parameters(&s, &same);
    setting_free(&s);
    setting_free(&same);
}

/* A step that memory is short for leaves no gradient that the next one would add to. */
TEST(trainer_step_that_fails_leaves_no_gradient)
{
    bool done = false;
    int64_t k = 1;
    for (; !done; k++) {
        Setting s = setting_new(0.25, RATE);
        PassMetrics metrics = {0};
        weft_alloc_fail_at(k);
        done = trainer_train(&metrics, s.net, s.loader, op_nll_loss, s.sgd);
        weft_alloc_fail_at(0);
        if (!done) CHECK_ERROR("memory");
        for (int64_t i = 0; i < s.parameters.count; i++) CHECK(!tensor_grad(s.parameters.items[i]));
        setting_free(&s);
    }
    CHECK(k > 50);
}

TEST(trainer_steady_step_needs_no_conversion_and_no_more_memory)
{
    Setting s = setting_new(0.25, RATE);
    PassMetrics metrics = {0};
    for (int epoch = 0; epoch < 2; epoch++) CHECK(trainer_train(&metrics, s.net, s.loader, op_nll_loss, s.sgd));
    WeftCounters before = weft_counters();
    CHECK(trainer_train(&metrics, s.net, s.loader, op_nll_loss, s.sgd));
    WeftCounters after = weft_counters();
    CHECK_EQUAL(after.conversions, before.conversions);
    CHECK_EQUAL(after.tensors, before.tensors);
    CHECK_EQUAL(after.bytes, before.bytes);
    CHECK_EQUAL(after.peak_bytes, before.peak_bytes);
    setting_free(&s);
}

static Module *interrupting_model(double dropout)
{
    (void)dropout;
    raise(SIGINT);
    return nn_flatten();
}

/* How a program ends that is interrupted while it makes its network, where Ctrl-C is handled so. */
static int interrupted_where(void (*handler)(int))
{
    char *argv[] = {"late", "--summary", NULL};
    TrainerApp app = {.name = "late", .model = interrupting_model, .epochs = 1, .batch_size = 1};
    int kept[2];
    void (*before)(int) = signal(SIGINT, handler);
    test_redirect("/dev/null", kept);
    int status = trainer_main(2, argv, &app);
    test_put_back(kept);
    bool same = signal(SIGINT, before) == handler;
    test_check(same, __FILE__, __LINE__, "what Ctrl-C does is as before");
    return status;
}

/* A test in the background of a script is started with interrupts ignored, which trainer_main respects. */
TEST(trainer_main_reports_an_interrupt_that_came_too_late)
{
    CHECK_EQUAL(interrupted_where(SIG_DFL), 130);
    CHECK(!weft_error());
    CHECK_EQUAL(interrupted_where(SIG_IGN), 0);
    CHECK(!weft_error());
}

TEST(help_of_an_app_that_says_nothing_of_itself)
{
    char *argv[] = {"bare", "--help", NULL};
    const TrainerApp app = {.name = "bare", .model = net_new, .epochs = 1, .batch_size = 1};
    static const char head[] = "bare: trains a network\nusage: bare ";
    int kept[2];
    test_redirect(test_path("help"), kept);
    const int status = trainer_main(2, argv, &app);
    test_put_back(kept);
    CHECK_EQUAL(status, 0);
    CHECK(memcmp(test_read(test_path("help")).at, head, strlen(head)) == 0);
}

/* ---- Apps of one's own, on files of MNIST's names ---- */

enum { DIGITS = 12, PIXELS = MNIST_SIDE * MNIST_SIDE };

/* An idx file of bytes in one or three dimensions; of images with the label's row bright. */
static bool write_idx(const char *name, int dimensions)
{
    static const int sizes[] = {DIGITS, MNIST_SIDE, MNIST_SIDE};
    static uint8_t bytes[16 + DIGITS * PIXELS];
    uint8_t *values = bytes + 4 + 4 * dimensions;
    const int size = dimensions == 1 ? 1 : PIXELS;
    memset(bytes, 0, sizeof bytes);
    bytes[2] = 8;
    bytes[3] = (uint8_t)dimensions;
    for (int i = 0; i < dimensions; i++) bytes[4 + 4 * i + 3] = (uint8_t)sizes[i];
    for (int n = 0; n < DIGITS; n++) {
        const int label = n % MNIST_CLASSES;
        if (dimensions == 1) values[n] = (uint8_t)label;
        else memset(values + n * PIXELS + 2 * label * MNIST_SIDE, 255, MNIST_SIDE);
    }
    return test_write(test_path(name), bytes, (size_t)(values - bytes) + (size_t)(DIGITS * size));
}

static bool write_digits(void)
{
    return write_idx("train-images-idx3-ubyte", 3) && write_idx("train-labels-idx1-ubyte", 1) &&
           write_idx("t10k-images-idx3-ubyte", 3) && write_idx("t10k-labels-idx1-ubyte", 1);
}

/* Runs the app with these options, of which two at most are a test_path, on the digits; what it prints is in the file
 * "said". */
#define RUN(app, ...) run_app(&(app), (const char *[]){"app", __VA_ARGS__, NULL})
static int run_app(const TrainerApp *app, const char **argv)
{
    TrainerApp own = *app;
    int argc = 0, kept[2];
    while (argv[argc] != NULL) argc++;
    own.data = test_path(".");
    test_redirect(test_path("said"), kept);
    int status = trainer_main(argc, (char **)argv, &own);
    test_put_back(kept);
    return status;
}

static bool said(const char *text)
{
    return strstr(test_read_text(test_path("said")), text) != NULL;
}

static Module *digit_net(double dropout)
{
    return nn_sequential(nn_flatten(), nn_dropout(dropout), nn_linear(PIXELS, MNIST_CLASSES), nn_log_softmax(1));
}

static const TrainerApp digit_app = {.name = "app", .model = digit_net, .epochs = 1, .batch_size = 5, .lr = 0.1};

/* What an app leaves out is not what nothing, or a crash, comes of. */
TEST(trainer_main_refuses_an_app_whose_defaults_are_out_of_range)
{
    TrainerApp app = digit_app;
    CHECK(write_digits());
    CHECK_EQUAL(RUN(app, "--report", test_path("report")), 0);
    app.epochs = 0;
    CHECK_EQUAL(RUN(app, "--report", test_path("report")), 1);
    CHECK(said("app: the app's default of --epochs is out of range\n"));
    CHECK_EQUAL(RUN(app, "--epochs", "1"), 1);
    app = (TrainerApp){.name = "app", .model = digit_net, .epochs = 1};
    CHECK_EQUAL(RUN(app, "--quiet"), 1);
    CHECK(said("--batch-size is out of range"));
    app = digit_app;
    app.momentum = 1;
    CHECK_EQUAL(RUN(app, "--quiet"), 1);
    CHECK(said("--momentum is out of range"));
    app.momentum = NAN;
    CHECK_EQUAL(RUN(app, "--quiet"), 1);
    app.momentum = 0;
    app.schedule = (ScheduleKind)3;
    CHECK_EQUAL(RUN(app, "--help"), 1);
    CHECK(said("--schedule is out of range"));
    app.schedule = SCHEDULE_CONSTANT;
    app.augmentation.scale = 2;
    CHECK_EQUAL(RUN(app, "--quiet"), 1);
    CHECK(said("scale is 2"));
    app = digit_app;
    app.model = NULL;
    CHECK_EQUAL(RUN(app, "--quiet"), 1);
    CHECK(said("its model is NULL"));
    CHECK(!weft_error());
}

static int batches_seen;

static Tensor *forward_unexportable(Module *self, Tensor *x)
{
    Tensor *y = nn_forward_children(self, x);
    batches_seen++;
    return op_dropout(y, 0.5, (RandomKey){.seed = 1});
}

static Module *unexportable_net(double dropout)
{
    Module *module = digit_net(dropout);
    if (module) module->forward = forward_unexportable;
    return module;
}

/* A network that cannot be exported is one before it has trained. */
TEST(trainer_main_tries_the_export_first)
{
    TrainerApp app = digit_app;
    app.model = unexportable_net;
    CHECK(write_digits());
    CHECK_EQUAL(RUN(app, "--export", test_path("net"), "--log", test_path("log")), 1);
    CHECK(said("app: onnx: dropout cannot be written"));
    CHECK_EQUAL(batches_seen, 2);
    CHECK_EQUAL(test_read(test_path("log")).count, 0);
}

/* A result is told even if a file of it cannot be written. */
TEST(trainer_main_tells_the_result_before_it_writes_files)
{
    struct rlimit limit;
    CHECK(write_digits() && getrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK_EQUAL(RUN(digit_app, "--quiet", "--save", test_path("net")), 0);
    const struct rlimit small = {.rlim_cur = 20000, .rlim_max = limit.rlim_max}; /* less than the weights take */
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    const int status = RUN(digit_app, "--quiet", "--save", test_path("net"));
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK_EQUAL(status, 1);
    CHECK(said("7,850 parameters, test accuracy "));
    CHECK(said("cannot write: "));
}

static int networks_made;

/* The first that is made is for the size of the checkpoint, the others are of the runs. */
static Module *net_that_interrupts_a_second_run(double dropout)
{
    if (++networks_made == 3) raise(SIGINT);
    return digit_net(dropout);
}

TEST(a_failure_says_where_a_training_of_several_runs_can_go_on)
{
    TrainerApp app = digit_app;
    app.model = net_that_interrupts_a_second_run;
    void (*before)(int) = signal(SIGINT, SIG_DFL);
    CHECK(write_digits());
    CHECK_EQUAL(RUN(app, "--runs", "2", "--checkpoint", test_path("kept")), 130);
    CHECK(said("app: run 2, epoch 1: interrupted; --resume goes on after run 1, epoch 1\n"));
    CHECK_EQUAL(RUN(app, "--runs", "2", "--checkpoint", test_path("kept"), "--resume"), 0);
    CHECK(said("resuming after run 1, epoch 1 of 1\n"));
    signal(SIGINT, before);
}

TEST(metrics_list_grows)
{
    Metrics metrics = {0};
    for (int64_t i = 1; i <= 100; i++) {
        EpochMetrics epoch = {.epoch = i, .lr = 1.0 / (double)i};
        CHECK(metrics_add(&metrics, &epoch));
    }
    CHECK_EQUAL(metrics.count, 100);
    for (int64_t i = 1; i <= 100; i++) {
        CHECK_EQUAL(metrics.epochs[i - 1].epoch, i);
        CHECK_CLOSE(metrics.epochs[i - 1].lr, 1.0 / (double)i, 0);
    }
    CHECK(!metrics_add(NULL, &metrics.epochs[0]) && !metrics_add(&metrics, NULL));
    CHECK_ERROR("NULL");
    metrics_free(NULL);
    metrics_free(&metrics);
    CHECK(metrics.epochs == NULL && metrics.count == 0);
}

TEST(log_rows_are_in_the_order_of_the_header)
{
    const EpochMetrics epoch = {.epoch = 3, .lr = 0.1, .train = {.loss = 1.5, .accuracy = 0.25, .seconds = 2.5},
                                .test = {.loss = 0.5, .accuracy = 0.75, .seconds = 0.125}};
    Text rows = {0};
    CHECK(trainer_log_put(&(TrainerLog){.seeds = false}, &rows, 7, &epoch));
    CHECK(trainer_log_put(&(TrainerLog){.seeds = true}, &rows, 7, &epoch));
    CHECK_TEXT(rows.bytes, "3,0.1,1.5,0.25,0.5,0.75,2.500000,0.125000\n7,3,0.1,1.5,0.25,0.5,0.75,2.500000,0.125000\n");
    weft_text_free(&rows);
}

/* A disk that is full in the middle of a row keeps the rows before it, those of an earlier process too. */
TEST(log_of_a_full_disk_has_whole_rows)
{
    const EpochMetrics epoch = {.epoch = 2};
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0 && signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    for (int resumed = 0; resumed < 2; resumed++) {
        TrainerLog log;
        unlink(test_path("log"));
        CHECK(trainer_log_open(&log, test_path("log"), false));
        if (resumed) CHECK(trainer_log_replace(&log, "1,0,0,0,0,0,0,0\n"));
        else CHECK(trainer_log_row(&log, 1, &epoch));
        const TestBytes whole = test_read(test_path("log"));
        const struct rlimit full = {.rlim_cur = whole.count + 5, .rlim_max = limit.rlim_max};
        CHECK(setrlimit(RLIMIT_FSIZE, &full) == 0);
        const bool written = trainer_log_row(&log, 1, &epoch);
        CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        CHECK(!written);
        CHECK_ERROR("log: cannot write: ");
        const TestBytes now = test_read(test_path("log"));
        CHECK(now.count == whole.count && memcmp(now.at, whole.at, now.count) == 0);
        CHECK(trainer_log_close(&log));
    }
}

/* ---- The bar ---- */

/* Whether a bar 199 columns wide, drawn after a step, contains the text. */
static void check_bar(TrainerDisplay *display, const PassMetrics *so_far, int64_t step, int64_t steps, const char *text)
{
    int kept[2];
    CHECK(setenv("COLUMNS", "200", 1) == 0);
    display->redraws = true;
    test_redirect(test_path("bar"), kept);
    trainer_display_step(display, so_far, step, steps);
    test_put_back(kept);
    const char *bar = test_read_text(test_path("bar"));
    if (!strstr(bar, text)) CHECK_TEXT(bar, text);
}

/* Half of a first epoch took a minute, so that its other half and a test of 10 seconds are left of it, and 5 epochs. */
TEST(time_left_counts_all_runs)
{
    TrainerDisplay display = {.run = 1, .runs = 3, .epoch = 1, .epochs = 2, .test_seconds = 10};
    check_bar(&display, &(PassMetrics){.seconds = 60, .samples = 30}, 30, 60, "left 1:10, run 12:00");
}

/* A quarter of a test took 5 seconds: the rest of it, and then an epoch of training and test. */
TEST(time_left_of_a_test_is_of_that_test)
{
    TrainerDisplay display = {.run = 1, .runs = 1, .epoch = 1, .epochs = 2, .testing = true, .train_seconds = 60};
    check_bar(&display, &(PassMetrics){.seconds = 5, .samples = 30}, 15, 60, "left 0:15, run 1:35");
}

TEST(time_left_of_a_test_alone_is_its_own)
{
    TrainerDisplay display = {.run = 1, .runs = 1, .epochs = 20, .testing = true};
    check_bar(&display, &(PassMetrics){.seconds = 5, .samples = 30}, 15, 60, "left 0:15, run 0:15");
}

/* 40 seconds, and 100 epochs of 70. */
TEST(time_left_is_in_hours_and_minutes)
{
    TrainerDisplay display = {.run = 1, .runs = 1, .epoch = 1, .epochs = 101, .test_seconds = 10};
    check_bar(&display, &(PassMetrics){.seconds = 30, .samples = 30}, 30, 60, "left 0:40, run 1:57:20");
}

TEST(time_left_knows_the_passes_that_were)
{
    TrainerDisplay display = {.run = 1, .runs = 1, .epoch = 1, .epochs = 2, .quiet = true};
    trainer_display_step(&display, &(PassMetrics){.seconds = 30}, 59, 60);
    CHECK_CLOSE(display.train_seconds, 0, 0);
    trainer_display_step(&display, &(PassMetrics){.seconds = 31}, 60, 60);
    display.testing = true;
    trainer_display_step(&display, &(PassMetrics){.seconds = 7}, 4, 4);
    CHECK_CLOSE(display.train_seconds, 31, 0);
    CHECK_CLOSE(display.test_seconds, 7, 0);
}

/* As much of the bar is filled as of the pass is done. */
TEST(bar_shows_what_is_done)
{
    TrainerDisplay display = {.run = 1, .runs = 1, .epoch = 2, .epochs = 5};
    const PassMetrics so_far = {.loss = 0.25, .accuracy = 0.5, .seconds = 1, .samples = 3000};
    check_bar(&display, &so_far, 10, 100, "\repoch 2/5 #############....");
    display.drawn = 0;
    check_bar(&display, &so_far, 10, 100, "..  loss 0.2500  50.00%  left 0:09, run 0:39  3,000 images/s\033[K");
}

TEST(line_of_an_epoch_is_of_training_and_test)
{
    static const char lines[] = "  epoch  train loss  accuracy      test loss  accuracy         lr   seconds\n"
                                "    3/5      1.5000    25.00%         0.5000    75.00%        0.1      2.63\n"
                                "    3/5      1.5000    25.00%         0.5000    75.00%        0.1      2.63\n";
    TrainerDisplay display = {.run = 1, .runs = 1, .epoch = 3, .epochs = 5};
    const EpochMetrics epoch = {.epoch = 3, .lr = 0.1, .train = {.loss = 1.5, .accuracy = 0.25, .seconds = 2.5},
                                .test = {.loss = 0.5, .accuracy = 0.75, .seconds = 0.126}};
    int kept[2];
    test_redirect(test_path("lines"), kept);
    for (int i = 0; i < 2; i++) trainer_display_epoch(&display, &epoch);
    test_put_back(kept);
    CHECK_TEXT(test_read_text(test_path("lines")), lines);
}

/* Not again within a tenth of a second: the clock is a minute past now, or a fifth of a second before it. */
TEST(bar_is_drawn_now_and_then)
{
    TrainerDisplay display = {.run = 1, .runs = 1, .epoch = 1, .epochs = 1, .redraws = true};
    int kept[2];
    display.drawn = trainer_clock() + 60;
    test_redirect(test_path("bar"), kept);
    trainer_display_step(&display, &(PassMetrics){.seconds = 1}, 10, 100);
    test_put_back(kept);
    CHECK_EQUAL(test_read(test_path("bar")).count, 0);
    display.drawn = trainer_clock() - 0.2;
    check_bar(&display, &(PassMetrics){.seconds = 1}, 10, 100, "epoch 1/1 ");
}

/* Of three runs of two epochs each the last epochs count, and so does an accuracy of 0 as the lowest. */
TEST(statistics_are_of_the_last_epochs)
{
    const double accuracies[] = {0.1, 0.5, 0.2, 0, 0.3, 0.7};
    TrainerSession session = {.options.epochs = 2};
    for (int i = 0; i < 6; i++) {
        EpochMetrics epoch = {.train.seconds = 1, .test = {.accuracy = accuracies[i], .seconds = 0.25}};
        CHECK(metrics_add(&session.past, &epoch));
    }
    TrainerStatistics three = trainer_statistics(&session);
    CHECK_EQUAL(three.runs, 3);
    CHECK_CLOSE(three.mean, 0.4, 1e-15);
    CHECK_CLOSE(three.deviation, sqrt((0.1 * 0.1 + 0.4 * 0.4 + 0.3 * 0.3) / 2), 1e-15);
    CHECK_CLOSE(three.low, 0, 0);
    CHECK_CLOSE(three.high, 0.7, 0);
    CHECK_CLOSE(trainer_seconds(&session.past), 7.5, 0);
    session.past.count = 2;
    CHECK_CLOSE(trainer_statistics(&session).deviation, 0, 0);
    metrics_free(&session.past);
}

TEST(rates_are_numbers_whatever_the_clock_says)
{
    char text[COMMAS_TEXT];
    CHECK_TEXT(trainer_rate_text(&(PassMetrics){.samples = 60000, .seconds = 2}, text), "30,000");
    CHECK_TEXT(trainer_rate_text(&(PassMetrics){.samples = 60000}, text), "0");
    CHECK_TEXT(trainer_rate_text(&(PassMetrics){0}, text), "0");
    CHECK_TEXT(trainer_rate_text(&(PassMetrics){.samples = 60000, .seconds = 1e-300}, text), "0");
}
