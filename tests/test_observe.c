/* Watching ops: what the profile and the detection of anomalies are made of, and that detection. */
#include <float.h>

#include "apps/trainer_run.h"
#include "autograd/observe.h"
#include "autograd/ops.h"
#include "nn/anomaly.h"
#include "nn/nn.h"
#include "nn/observe.h"
#include "optim/optim.h"
#include "tensor/layout.h"
#include "tests/cases.h"
#include "tests/test.h"

/* ---- The hook ---- */

enum { EVENTS = 32 };

typedef struct Recorder {
    OpObserver base;
    char events[EVENTS][32]; /* "linear [2, 3]", "back linear", "mark here" */
    int count;
    double flops;
    bool refuse_made, refuse_back;
} Recorder;

static char *next_event(Recorder *recorder)
{
    return recorder->events[recorder->count++ % EVENTS];
}

static bool record_made(OpObserver *observer, const OpCall *call)
{
    Recorder *recorder = (Recorder *)observer;
    char shape[SHAPE_TEXT];
    snprintf(next_event(recorder), 32, "%s %.20s", call->op->name, shape_text(tensor_shape(call->result), shape));
    if (call->op->flops) recorder->flops += call->op->flops(call->inputs, call->attributes);
    return !recorder->refuse_made || weft_fail("refused %s", call->op->name);
}

static bool record_back(OpObserver *observer, const OpCall *call, const Tensor *grad)
{
    Recorder *recorder = (Recorder *)observer;
    snprintf(next_event(recorder), 32, "back %s%s", call->op->name,
             shape_equal(tensor_shape(grad), tensor_shape(call->result)) ? "" : " of another shape");
    return !recorder->refuse_back || weft_fail("refused the backward of %s", call->op->name);
}

static void record_mark(OpObserver *observer, const char *what)
{
    snprintf(next_event((Recorder *)observer), 32, "mark %s", what);
}

static Recorder recorder_new(void)
{
    return (Recorder){.base = {record_made, record_back, record_mark}};
}

static Tensor *input(Shape shape, uint32_t stream)
{
    Tensor *t = test_tensor(shape, stream, 1);
    tensor_set_requires_grad(t, true);
    return t;
}

TEST(ops_are_seen_forward_and_backward)
{
    static const char *const expected[] = {"matmul [2, 4]", "mark here", "exp [2, 4]", "to_lanes [2, 4]", "sum []",
                                           "back sum", "back exp", "back matmul", "mark there"};
    Recorder recorder = recorder_new();
    Tensor *a = input(SHAPE(2, 3), 1), *b = input(SHAPE(3, 4), 2);
    CHECK(!autograd_observe(&recorder.base));
    Tensor *product = op_matmul(a, b);
    autograd_mark("here");
    CHECK(backward(op_sum(op_exp(product))));
    autograd_mark("there");
    CHECK(autograd_observe(NULL) == &recorder.base);
    CHECK(op_exp(a));
    autograd_mark("nobody");
    CHECK_EQUAL(recorder.count, sizeof expected / sizeof *expected);
    for (int i = 0; i < recorder.count; i++) CHECK_TEXT(recorder.events[i], expected[i]);
    CHECK_EQUAL(recorder.flops, 2 * 2 * 3 * 4);
}

/* Ops that a backward function uses are not told, nor counted twice; those that record nothing are told. */
TEST(ops_are_seen_once)
{
    Recorder recorder = recorder_new();
    Tensor *x = input(SHAPE(2, 3), 1);
    autograd_observe(&recorder.base);
    Tensor *y = op_transpose(op_concat((Tensor *[]){x, x}, 2, 1), 0, 1);
    CHECK(backward(op_sum(y)));
    int backwards = 0, conversions = 0;
    for (int i = 0; i < recorder.count; i++) {
        backwards += strncmp(recorder.events[i], "back ", 5) == 0;
        conversions += strncmp(recorder.events[i], "to_", 3) == 0;
    }
    CHECK_EQUAL(recorder.count, 2 * backwards + conversions);
    recorder.count = 0;
    bool was = autograd_record(false);
    CHECK(op_exp(x));
    autograd_record(was);
    autograd_observe(NULL);
    CHECK_EQUAL(recorder.count, 1);
}

TEST(observers_can_make_ops_fail)
{
    Recorder recorder = recorder_new();
    Tensor *x = input(SCALAR, 1);
    autograd_observe(&recorder.base);
    Tensor *y = op_exp(x);
    recorder.refuse_back = true;
    CHECK(!backward(y));
    CHECK_ERROR("refused the backward of exp");
    CHECK(!tensor_grad(x));
    recorder.refuse_made = true;
    CHECK(!op_exp(x));
    CHECK_ERROR("refused exp");
    autograd_observe(NULL);
}

TEST(flops_are_those_of_the_definition)
{
    Recorder recorder = recorder_new();
    autograd_observe(&recorder.base);
    CHECK(op_conv2d(test_tensor(SHAPE(3, 4, 7, 9), 1, 1), test_tensor(SHAPE(6, 2, 3, 2), 2, 1), TENSOR_NONE,
                    .stride = 2, .padding = 1, .groups = 2));
    /* 3 samples, 6 channels, [(7 + 2 - 3) / 2 + 1, (9 + 2 - 2) / 2 + 1] = [4, 5]; 2 * 3 * 2 products for each. */
    CHECK_EQUAL(recorder.flops, 2 * 3 * 6 * 4 * 5 * 2 * 3 * 2);
    recorder.flops = 0;
    CHECK(op_linear(test_tensor(SHAPE(5, 7), 1, 1), test_tensor(SHAPE(3, 7), 2, 1), TENSOR_NONE));
    CHECK_EQUAL(recorder.flops, 2 * 5 * 7 * 3);
    autograd_observe(NULL);
}

/* "stride=2 dims=0,2 p=0.5" */
static void attributes_text(const Node *node, char text[256])
{
    Attribute attributes[OP_MAX_ATTRIBUTES];
    int count = node_op(node)->describe ? node_op(node)->describe(node, attributes) : 0;
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < count; i++) {
        const Attribute *a = &attributes[i];
        used += (size_t)snprintf(text + used, 256 - used, "%s%s=", i ? " " : "", a->name);
        if (a->count == 0) used += (size_t)snprintf(text + used, 256 - used, "%g", a->number);
        for (int k = 0; k < a->count; k++)
            used += (size_t)snprintf(text + used, 256 - used, "%s%lld", k ? "," : "", (long long)a->integers[k]);
    }
}

TEST(ops_describe_their_attributes)
{
    static const char *const rows[][2] = {
        {"leaky_relu slope=0.25 : 2x3", "slope=0.25"},
        {"sum dims=0,2 keep=1 : 2x3x4", "dims=0,2 keep=1"},
        {"transpose a=1 b=-1 : 2x3x4", "dimensions=1,2"},
        {"concat dim=-1 : 2x3 2x4", "dimension=1"},
        {"narrow dim=1 start=2 length=3 : 2x6", "dimension=1 start=2 length=3"},
        {"linear relu=1 : 2x3 4x3 4", "relu=1"},
        {"linear : 2x3 4x3 4", "relu=0"},
        {"conv2d padding=1 max_pool=2 : 2x32x8x8 32x32x3x3 32",
         "stride=1 padding=1 dilation=1 groups=1 relu=0 max_pool=2"},
        {"max_pool2d kernel=4 stride=3 padding=2 : 1x1x8x8", "kernel=4 stride=3 padding=2"},
        {"avg_pool2d kernel=4 padding=1 : 1x1x8x8", "kernel=4 stride=4 padding=1"},
        {"batch_norm2d momentum=0.25 eps=0.5 dropout=0.125 : 2x3x2x2 3 3 ~3 ~3*0.5+1",
         "training=0 momentum=0.25 eps=0.5 dropout=0.125"},
        {"batch_norm2d training=1 : 2x3x2x2 3 3 none none", "training=1 momentum=0.1 eps=1e-05"},
        {"dropout p=0.25 : 2x3", "p=0.25"},
        {"softmax dim=-1 : 2x3x4", "dimension=2"},
        {"cross_entropy label_smoothing=0.25 : 2x3 labels:2/3", "label_smoothing=0.25"},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        Case c;
        char text[256];
        CHECK(case_parse(&c, rows[r][0], 0));
        Tensor *inputs[CASE_INPUTS];
        for (int i = 0; i < c.input_count; i++) inputs[i] = case_input(&c, i);
        attributes_text(tensor_node(case_run(&c, inputs)), text);
        CHECK_TEXT(text, rows[r][1]);
    }
}

/* ---- Anomalies ---- */

#define LARGEST (sizeof(Real) == sizeof(float) ? (double)FLT_MAX : DBL_MAX)

/* A network whose weights and input are all `value`: conv, relu, linear. */
static Module *net_of(double value)
{
    Module *net = nn_sequential_named({"conv", nn_conv2d(1, 2, 3)}, {"flat", nn_flatten()}, {"fc", nn_linear(8, 3)});
    NamedTensors parameters = nn_named_parameters(net);
    for (int64_t i = 0; i < parameters.count; i++) {
        Scope scope = scope_open();
        if (!tensor_copy(parameters.items[i].tensor, tensor_full(tensor_shape(parameters.items[i].tensor), value)))
            abort();
        scope_close(scope);
    }
    nn_named_free(&parameters);
    return net;
}

static Tensor *parameter(const Module *net, const char *name)
{
    NamedTensors parameters = nn_named_parameters(net);
    Tensor *found = NULL;
    for (int64_t i = 0; i < parameters.count; i++) {
        if (strcmp(parameters.items[i].name, name) == 0) found = parameters.items[i].tensor;
    }
    nn_named_free(&parameters);
    return found;
}

TEST(anomalies_forward_are_named)
{
    Module *net = net_of(1);
    Tensor *images = tensor_full(SHAPE(20, 1, 4, 4), 1);
    CHECK(nn_detect_anomaly(net));
    CHECK(nn_forward(net, images));
    CHECK(!weft_error());
    /* Overflow of finite values, in one sample beyond the first group. */
    CHECK(tensor_set(images, AT(17, 0, 2, 1), LARGEST));
    CHECK(tensor_set(parameter(net, "conv.weight"), AT(1, 0, 1, 0), 4));
    CHECK(!nn_forward(net, images));
    CHECK_ERROR("anomaly: conv2d of conv made inf at [17, 1, 1, 1] of its result [20, 2, 2, 2], of finite inputs "
                "[20, 1, 4, 4], [2, 1, 3, 3], [2]");
    /* An op without parameters is named after the layer before it. */
    images = tensor_full(SHAPE(20, 1, 4, 4), 30);
    CHECK(!op_exp(op_exp(nn_forward(net, images))));
    CHECK_ERROR("anomaly: exp after fc made inf at [0, 0] of its result [20, 3], of finite inputs [20, 3]");
    /* And NaN, in ops that record nothing. */
    bool was = autograd_record(false);
    CHECK(!op_log(tensor_full(SHAPE(2, 2), -1)));
    CHECK_ERROR("anomaly: log made NaN at [0, 0] of its result [2, 2]");
    autograd_record(was);
    CHECK(nn_detect_anomaly(NULL));
    CHECK(op_log(tensor_full(SHAPE(2, 2), -1)));
    nn_free(net);
}

TEST(values_that_no_op_made_are_named)
{
    Module *net = net_of(1);
    CHECK(nn_detect_anomaly(net));
    CHECK(tensor_set(parameter(net, "fc.weight"), AT(2, 5), NAN));
    CHECK(!nn_forward(net, tensor_full(SHAPE(2, 1, 4, 4), 1)));
    CHECK_ERROR("anomaly: linear of fc was given NaN at [2, 5] of its input 1, fc.weight [3, 8], which no op made");
    CHECK(!nn_forward(net, tensor_full(SHAPE(2, 1, 4, 4), -INFINITY)));
    CHECK_ERROR("was given -inf at [0, 0, 0, 0] of its input 0, [2, 1, 4, 4], which no op made");
    CHECK(nn_detect_anomaly(NULL));
    nn_free(net);
}

/* What lies in memory behind the values is nobody's anomaly. */
TEST(padding_is_no_anomaly)
{
    Module *net = nn_relu();
    Tensor *x = input(SHAPE(2, 3), 1);
    for (int64_t i = tensor_count(x); i < x->storage->count; i++) x->storage->data[i] = (Real)NAN;
    CHECK(nn_detect_anomaly(net));
    CHECK(backward(op_sum(op_exp(x))));
    CHECK(nn_detect_anomaly(NULL));
    nn_free(net);
}

TEST(anomalies_backward_are_named)
{
    Module *net = net_of(1);
    CHECK(nn_detect_anomaly(net));
    /* 30 is made of nine ones and a bias each, then summed with another: the root's derivative at 0 is infinite. */
    Tensor *scores = nn_forward(net, tensor_full(SHAPE(2, 1, 4, 4), 1));
    Tensor *zero = op_sub(scores, tensor_full(SHAPE(2, 3), tensor_get(scores, AT(0, 0))));
    CHECK(!backward(op_sum(op_sqrt(zero))));
    CHECK_ERROR("anomaly: the backward of sqrt after fc made inf at [0, 0] of the gradient of its input 0, [2, 3], "
                "of a finite gradient of its result [2, 3]");
    CHECK(!tensor_grad(parameter(net, "fc.weight")));
    /* A gradient that overflows where it meets the input. */
    Tensor *images = tensor_full(SHAPE(2, 1, 4, 4), LARGEST / 1000);
    scores = nn_forward(net, images);
    CHECK(!backward(op_sum(scores), .grad = tensor_full(SCALAR, 1e4)));
    CHECK_ERROR("anomaly: the backward of linear of fc made inf at [0, 0] of the gradient of its input 1, fc.weight "
                "[3, 8], of a finite gradient of its result [2, 3]");
    CHECK(!backward(op_sum(nn_forward(net, tensor_full(SHAPE(2, 1, 4, 4), 1))), .grad = tensor_full(SCALAR, NAN)));
    CHECK_ERROR("the backward of sum after fc was given NaN at [] of the gradient of its result [], which no op made");
    CHECK(nn_detect_anomaly(NULL));
    nn_free(net);
}

TEST(who_watched_before_a_detection_watches_after_it)
{
    Recorder recorder = recorder_new();
    Module *net = nn_linear(2, 2);
    autograd_observe(&recorder.base);
    CHECK(nn_detect_anomaly(net));
    CHECK(nn_detect_anomaly(net));
    CHECK(nn_detect_anomaly(NULL));
    CHECK(autograd_observe(NULL) == &recorder.base);
    nn_free(net);
}

TEST(a_run_and_a_profile_leave_others_watching)
{
    Recorder recorder = recorder_new();
    Module *net = nn_linear(2, 2);
    TrainerRun run = {0};
    Profile profile = {0};
    autograd_observe(&recorder.base);
    CHECK(trainer_profile_start(&profile, net));
    trainer_profile_stop(&profile);
    trainer_profile_free(&profile);
    CHECK(autograd_observe(&recorder.base) == &recorder.base);
    CHECK(nn_detect_anomaly(net));
    trainer_run_close(&run);
    CHECK(!op_exp(tensor_full(SCALAR, 1e30)));
    CHECK_ERROR("anomaly: exp made inf");
    run.detects = true; /* now it is the run's */
    trainer_run_close(&run);
    CHECK(op_exp(tensor_full(SCALAR, 1e30)));
    CHECK(nn_detect_anomaly(NULL));
    autograd_observe(NULL);
    nn_free(net);
}

/* Products of a linear layer [2, 3] on 4 samples: those forward once more for each gradient that is wanted, of the
 * weight and of the input, and none for the bias's. */
TEST(profile_counts_products_of_gradients)
{
    enum { PRODUCTS = 2 * 4 * 2 * 3 };
    for (int wanted = 0; wanted < 2; wanted++) {
        Module *net = nn_linear(2, 3);
        Profile profile = {0};
        Tensor *x = tensor_full(SHAPE(4, 2), 1);
        CHECK(tensor_set_requires_grad(x, wanted) && trainer_profile_start(&profile, net));
        CHECK(backward(op_sum(nn_forward(net, x))));
        trainer_profile_stop(&profile);
        const ProfileRow *row = profile.rows;
        while (row < profile.rows + profile.count && row->forward_flops == 0) row++;
        CHECK(row < profile.rows + profile.count && strncmp(row->name, "linear", strlen("linear")) == 0);
        CHECK_CLOSE(row->forward_flops, PRODUCTS, 0);
        CHECK_CLOSE(row->backward_flops, (1 + wanted) * PRODUCTS, 0);
        trainer_profile_free(&profile);
        nn_free(net);
    }
}

/* What took most comes first; a name that is too long for 80 columns loses its middle. */
TEST(profile_rows_are_sorted_and_fit)
{
    static const char rows[] =
        "conv2d conv1                 2   0.250    0.500   0.750  75.0%     4.0      6.0\n"
        "batc...2.shortcut.norm       3   0.100    0.100   0.200  20.0%\n"
        "loading                                           0.050   5.0%\n"
        "total                        5   0.350    0.600   1.000 100.0%     2.9      5.0\n";
    ProfileRow made[] = {{.name = "loading", .neither = 0.05},
                         {.name = "batch_norm2d blocks.2.shortcut.norm", .calls = 3, .forward = 0.1, .backward = 0.1},
                         {.name = "conv2d conv1", .calls = 2, .forward = 0.25, .backward = 0.5, .forward_flops = 1e9,
                          .backward_flops = 3e9}};
    Profile profile = {.rows = made, .count = 3, .seconds = 1};
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);
    CHECK(file);
    trainer_profile_print(&profile, file, 80);
    fclose(file);
    const char *head = strchr(text, '\n'), *heads = head ? strchr(head + 1, '\n') : NULL;
    CHECK(heads);
    CHECK_TEXT(heads + 1, rows);
    free(text);
}

TEST(profile_of_nothing_says_so)
{
    char text[256] = "";
    FILE *file = fmemopen(text, sizeof text, "w");
    CHECK(file);
    trainer_profile_print(&(Profile){.count = 0}, file, 80);
    fclose(file);
    CHECK_TEXT(text, "profile: nothing ran\n");
}

/* Of a long name the end is left, which tells layers apart that are beside each other. */
TEST(layers_of_long_names_are_told_apart)
{
    static const char *const parents[] = {"", "p", "parent.",
                                          "a.parent.whose.name.is.as.long.as.the.names.of.networks."};
    static const char *const ends[] = {"first.of.its.children", "second.of.its.children"};
    for (int parent = 0; parent < 4; parent++) {
        for (int child = 0; child < 2; child++) {
            char whole[256], layer[128], name[LAYER_TEXT];
            const int length = snprintf(layer, sizeof layer, "%s%s", parents[parent], ends[child]);
            snprintf(whole, sizeof whole, "%s.weight", layer);
            Tensor *weight = tensor_zeros(SCALAR);
            const NamedTensors named = {.items = &(NamedTensor){.name = whole, .tensor = weight}, .count = 1};
            const int cut = length < LAYER_TEXT ? 0 : length - (LAYER_TEXT - 1);
            CHECK((cut > 0) == (parent == 3));
            CHECK_TEXT(nn_layer_name(&named, &weight, 1, name), layer + cut);
        }
    }
    char name[LAYER_TEXT];
    CHECK_TEXT(nn_layer_name(&(NamedTensors){.count = 0}, (Tensor *[]){tensor_zeros(SCALAR)}, 1, name), "");
}

TEST(detection_changes_no_bit)
{
    double losses[2];
    for (int i = 0; i < 2; i++) {
        nn_seed(3);
        Module *net = nn_sequential(nn_conv2d(1, 4, 3, .relu = true), nn_batch_norm2d(4), nn_dropout(0.2),
                                    nn_flatten(), nn_linear(16, 3), nn_log_softmax(1));
        TensorList parameters = {0};
        CHECK(nn_parameters(net, &parameters));
        Optimizer *sgd = optimizer_sgd(&parameters, 0.1);
        CHECK(i == 0 || nn_detect_anomaly(net));
        for (int step = 0; step < 4; step++) {
            Tensor *labels = tensor_full(SHAPE(5), 1);
            Tensor *loss = op_nll_loss(nn_forward(net, test_tensor(SHAPE(5, 1, 4, 4), 9, 1)), labels);
            CHECK(backward(loss) && optimizer_step(sgd));
            losses[i] = tensor_item(loss);
        }
        CHECK(nn_detect_anomaly(NULL));
        optimizer_free(sgd);
        tensor_list_free(&parameters);
        nn_free(net);
    }
    CHECK(losses[0] == losses[1]);
}
