/* Agreement with PyTorch's float64 results, which tests/golden/make.py wrote; its head describes the digests. */
#include <stdio.h>

#include "autograd/ops.h"
#include "nn/nn.h"
#include "optim/optim.h"
#include "tests/cases.h"
#include "tests/networks.h"
#include "tests/test.h"

enum {
    DIGEST_ALL = 48,
    DIGEST_SAMPLES = 24,
    DIGEST_PRODUCTS = 8,
    DIGEST_STREAM = 200,
    NAME_BYTES = 128,
    IS_DOUBLE = sizeof(Real) == sizeof(double),
};

/* ---- Reading ---- */

typedef struct Golden {
    FILE *file;
    char *line;
    size_t size;
} Golden;

static Golden golden_open(const char *path)
{
    return (Golden){.file = fopen(path, "r")};
}

static void golden_close(Golden *golden)
{
    if (golden->file) fclose(golden->file);
    free(golden->line);
    *golden = (Golden){0};
}

/* The next line that is no comment, without its newline; false at the end. */
static bool next_line(Golden *golden)
{
    do {
        if (!golden->file || getline(&golden->line, &golden->size, golden->file) < 0) return false;
    } while (golden->line[0] == '#');
    golden->line[strcspn(golden->line, "\n")] = '\0';
    return true;
}

/* What follows the first word of the line, if that is `word`, else NULL. */
static const char *after(const Golden *golden, const char *word)
{
    size_t length = strlen(word);
    bool same = golden->line && strncmp(golden->line, word, length) == 0 && golden->line[length] == ' ';
    return same ? golden->line + length + 1 : NULL;
}

/* Compares a number with the next of the text; `scale` is what the tolerance is relative to. */
static bool next_is_close(const char **text, double value, double scale, double tolerance, const char *what)
{
    char *end;
    double reference = strtod(*text, &end);
    if (end == *text) return weft_fail("%s: the golden file ends early", what);
    *text = end;
    if (fabs(value - reference) <= tolerance * scale) return true;
    return weft_fail("%s: %.17g, PyTorch has %.17g; off by %.2g of the largest", what, value, reference,
                     fabs(value - reference) / scale);
}

/* Compares a tensor with the digest: each value or sample to tolerance times the largest. A product with a hash vector
 * sums the errors of all values: in double it must be as close, in float it may be off by the root of their number. */
static bool matches(const Tensor *t, const char *digest, double tolerance, const char *what)
{
    char *rest;
    int64_t count = strtoll(digest, &rest, 10);
    double largest = strtod(rest, &rest), product_scale = largest * (IS_DOUBLE ? 1 : sqrt((double)count));
    const char *text = rest;
    Real *values = count == tensor_count(t) ? test_values(t) : NULL;
    if (!values)
        return weft_fail("%s: %lld values, PyTorch has %lld", what, (long long)tensor_count(t), (long long)count);
    bool ok = true;
    int64_t samples = count <= DIGEST_ALL ? count : DIGEST_SAMPLES;
    for (int64_t i = 0; ok && i < samples; i++)
        ok = next_is_close(&text, (double)values[i * count / samples], largest, tolerance, what);
    for (uint32_t p = 0; ok && count > DIGEST_ALL && p < DIGEST_PRODUCTS; p++) {
        double product = 0;
        for (int64_t i = 0; i < count; i++) product += test_number(DIGEST_STREAM + p, i) * (double)values[i];
        ok = next_is_close(&text, product, product_scale, tolerance, what);
    }
    free(values);
    return ok;
}

/* ---- Ops: a test of each case in the file ---- */

static const char ops_path[] = "tests/golden/ops.txt";
static int case_count;

/* Runs the case whose line is at hand, and checks it against the lines that follow. */
static bool check_case(Golden *golden)
{
    Case c;
    if (!case_parse(&c, after(golden, "case"), 0)) return weft_fail("malformed case");
    double tolerance = IS_DOUBLE ? 1e-11 : strcmp(c.op, "conv2d") == 0 ? 1e-4 : 1e-5;
    Tensor *inputs[CASE_INPUTS], *outputs[3] = {0};
    for (int i = 0; i < c.input_count; i++) inputs[i] = case_input(&c, i);
    outputs[0] = case_run(&c, inputs);
    if (strcmp(c.op, "batch_norm2d") == 0) memcpy(outputs + 1, inputs + 3, 2 * sizeof *outputs);
    if (!outputs[0]) return false;
    if (tensor_requires_grad(outputs[0]) && !backward(outputs[0], .grad = case_output_grad(tensor_shape(outputs[0]))))
        return false;
    const char *digest;
    char *rest;
    bool ok = next_line(golden), any = false;
    for (int i = 0; ok && (digest = after(golden, "output")); i++) {
        ok = matches(outputs[i], digest, tolerance, i == 0 ? "output" : "running statistics");
        any = true;
        if (!next_line(golden)) return ok;
    }
    while (ok && (digest = after(golden, "grad"))) {
        int64_t i = strtoll(digest, &rest, 10);
        char what[NAME_BYTES];
        snprintf(what, sizeof what, "gradient of input %d", (int)i);
        ok = matches(tensor_grad(inputs[i]), rest, tolerance, what);
        if (!next_line(golden)) return ok;
    }
    return ok && any;
}

static void run_case(void)
{
    Golden golden = golden_open(ops_path);
    bool ok = fseek(golden.file, test_index(), SEEK_SET) == 0 && next_line(&golden) && check_case(&golden);
    golden_close(&golden);
    CHECK(ok);
}

__attribute__((constructor)) static void register_cases(void)
{
    Golden golden = golden_open(ops_path);
    if (!golden.file) return;
    for (int64_t offset = 0; next_line(&golden); offset = ftell(golden.file)) {
        if (!after(&golden, "case")) continue;
        Test *test = calloc(1, sizeof *test);
        char *name = malloc(strlen(golden.line) + sizeof "golden case ");
        if (!test || !name) abort();
        sprintf(name, "golden case %s", after(&golden, "case"));
        *test = (Test){.name = name, .file = __FILE__, .run = run_case, .index = (int)offset};
        test_register(test);
        case_count++;
    }
    golden_close(&golden);
}

TEST(golden_ops_are_found)
{
    CHECK(case_count > 60);
}

/* ---- Optimisers and schedules ---- */

enum { OPTIMIZER_STEPS = 20, SGD_NUMBERS = 5 };

/* Gradients straight from the hash: those of sum(parameter * hash). */
static bool set_gradient(Tensor *parameter, uint32_t stream)
{
    return backward(op_sum(op_mul(parameter, test_tensor(tensor_shape(parameter), stream, 1))));
}

static bool run_sgd(const double numbers[SGD_NUMBERS], Tensor *const parameters[2])
{
    TensorList list = {0};
    bool ok = tensor_list_add(&list, parameters[0]) && tensor_list_add(&list, parameters[1]);
    Optimizer *sgd = optimizer_sgd(&list, numbers[0], .momentum = numbers[1], .weight_decay = numbers[2],
                                   .dampening = numbers[3], .nesterov = numbers[4] != 0);
    tensor_list_free(&list);
    for (uint32_t step = 0; ok && step < OPTIMIZER_STEPS; step++) {
        ok = set_gradient(parameters[0], 10 + 2 * step);
        if (step % 3 != 2) ok = ok && set_gradient(parameters[1], 11 + 2 * step);
        ok = ok && optimizer_step(sgd);
    }
    optimizer_free(sgd);
    return ok;
}

TEST(golden_sgd)
{
    Golden golden = golden_open("tests/golden/sgd.txt");
    int variants = 0;
    for (bool more = next_line(&golden); more; more = next_line(&golden), variants++) {
        double numbers[SGD_NUMBERS];
        char *text = (char *)after(&golden, "sgd");
        CHECK(text);
        for (int i = 0; i < SGD_NUMBERS; i++) numbers[i] = strtod(text, &text);
        Tensor *parameters[] = {test_tensor(SHAPE(5, 7), 0, 1), test_tensor(SHAPE(17), 1, 1)};
        for (int i = 0; i < 2; i++) tensor_set_requires_grad(parameters[i], true);
        CHECK(run_sgd(numbers, parameters));
        for (int i = 0; i < 2; i++) {
            CHECK(next_line(&golden));
            CHECK(matches(parameters[i], after(&golden, "parameter"), IS_DOUBLE ? 1e-14 : 1e-5, "parameter"));
        }
    }
    golden_close(&golden);
    CHECK_EQUAL(variants, 7);
}

/* The numbers are in the order of the script's table. */
static bool read_schedule(const Golden *golden, Schedule *schedule)
{
    char *text = (char *)after(golden, "schedule");
    if (!text) return false;
    bool one_cycle = strncmp(text, "one_cycle ", strlen("one_cycle ")) == 0;
    text = strchr(text, ' ');
    *schedule = (Schedule){.kind = one_cycle ? SCHEDULE_ONE_CYCLE : SCHEDULE_STEP, .lr = strtod(text, &text)};
    if (one_cycle) {
        schedule->total_steps = (int64_t)strtod(text, &text);
        schedule->warmup = strtod(text, &text);
        schedule->start_divisor = strtod(text, &text);
        schedule->final_divisor = strtod(text, &text);
        schedule->cycle_momentum = strtod(text, &text) != 0;
    } else {
        schedule->step_size = (int64_t)strtod(text, &text);
        schedule->gamma = strtod(text, &text);
    }
    return true;
}

TEST(golden_schedules)
{
    const double tolerance = 1e-14;
    Golden golden = golden_open("tests/golden/schedules.txt");
    int schedules = 0;
    for (; next_line(&golden); schedules++) {
        Schedule schedule;
        CHECK(read_schedule(&golden, &schedule));
        CHECK(schedule_check(&schedule));
        for (int64_t step = 0; step < OPTIMIZER_STEPS; step++) {
            CHECK(next_line(&golden));
            const char *text = golden.line;
            double lr = schedule_lr(&schedule, step), momentum = schedule_momentum(&schedule, step, 0.9);
            CHECK(next_is_close(&text, lr, schedule.lr, tolerance, "rate"));
            CHECK(next_is_close(&text, momentum, 1, tolerance, "momentum"));
        }
    }
    golden_close(&golden);
    CHECK_EQUAL(schedules, 5);
}

/* ---- Training the two seed networks ---- */

enum { TRAINING_STEPS = 100, BATCH = 20, BATCHES = 5, IMAGE_STREAM = 300, LABEL_STREAM = 400, FIRST_BATCH = 3 };

/* One line "WORD name digest" for each tensor, in order; compares the tensors, or their gradients. */
static bool tensors_match(Golden *golden, const char *word, const NamedTensors *tensors, double tolerance)
{
    for (int64_t i = 0; i < tensors->count; i++) {
        const char *text = next_line(golden) ? after(golden, word) : NULL;
        const char *name = tensors->items[i].name;
        size_t length = strlen(name);
        if (!text || strncmp(text, name, length) || text[length] != ' ')
            return weft_fail("golden: \"%.40s\" where %s of %s is expected", golden->line, word, name);
        const Tensor *t = tensors->items[i].tensor;
        char what[NAME_BYTES];
        snprintf(what, sizeof what, "%s of %s", word, name);
        if (!matches(strcmp(word, "grad") ? t : tensor_grad(t), text + length + 1, tolerance, what)) return false;
    }
    return true;
}

/* One step that float is good for: few images, and no value so near a kink that rounding takes it across. */
static bool first_step_matches(Golden *golden, Module *model)
{
    NamedTensors parameters = nn_named_parameters(model);
    const char *text = next_line(golden) ? after(golden, "first") : NULL;
    char *rest = NULL;
    uint32_t stream = text ? (uint32_t)strtol(text, &rest, 10) : 0;
    text = rest;
    Tensor *loss = network_set_weights(model) ? network_loss(model, FIRST_BATCH, stream, stream + 1) : NULL;
    bool ok = loss && text && next_is_close(&text, tensor_item(loss), 1, IS_DOUBLE ? 1e-12 : 1e-5, "first loss") &&
              backward(loss) && tensors_match(golden, "grad", &parameters, IS_DOUBLE ? 1e-10 : 1e-4);
    nn_named_free(&parameters);
    nn_free(model);
    return ok;
}

static bool losses_match(Golden *golden, Module *model, Optimizer *sgd)
{
    const char *text = next_line(golden) ? after(golden, "losses") : NULL;
    bool ok = text != NULL;
    for (uint32_t step = 0; ok && step < TRAINING_STEPS; step++) {
        Scope scope = scope_open();
        Tensor *loss = network_loss(model, BATCH, IMAGE_STREAM + step % BATCHES, LABEL_STREAM + step % BATCHES);
        char what[NAME_BYTES];
        snprintf(what, sizeof what, "loss of step %u", step);
        ok = loss && next_is_close(&text, tensor_item(loss), 1, 1e-9, what) && backward(loss) && optimizer_step(sgd);
        scope_close(scope);
    }
    return ok;
}

/* 100 steps of double stay as close as this; floats part within a few. */
static bool training_matches(Golden *golden, Module *model)
{
    NamedTensors parameters = nn_named_parameters(model), buffers = nn_named_buffers(model);
    TensorList list = {0};
    bool ok = network_set_weights(model) && nn_parameters(model, &list);
    Optimizer *sgd = optimizer_sgd(&list, 0.02, .momentum = 0.9, .weight_decay = 1e-4);
    ok = ok && losses_match(golden, model, sgd) && tensors_match(golden, "final", &parameters, 1e-9) &&
         tensors_match(golden, "buffer", &buffers, 1e-9);
    optimizer_free(sgd);
    tensor_list_free(&list);
    nn_named_free(&parameters);
    nn_named_free(&buffers);
    nn_free(model);
    return ok;
}

static bool matches_file(const char *path, Module *(*new_model)(double dropout))
{
    Golden golden = golden_open(path);
    bool ok = first_step_matches(&golden, new_model(0)) && (!IS_DOUBLE || training_matches(&golden, new_model(0)));
    golden_close(&golden);
    return ok;
}

TEST(golden_training_of_mnist_cnn)
{
    CHECK(matches_file("tests/golden/mnist_cnn.txt", network_cnn));
}

TEST(golden_training_of_mnist_tiny)
{
    CHECK(matches_file("tests/golden/mnist_tiny.txt", network_tiny));
}
