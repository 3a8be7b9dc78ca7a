/* ONNX files: read back by a decoder of their own and compared as text; what cannot be written is refused by name. With
 * ONNX_CASES=FOLDER the cases, their inputs and outputs are left there for ONNX Runtime: see tests/test_interop.sh. */
#include "nn/onnx.h"

#include <stdio.h>
#include <unistd.h>

#include "nn/observe.h"
#include "nn/state.h"
#include "tensor/file.h"
#include "tensor/memory.h"
#include "tests/cases.h"
#include "tests/networks.h"
#include "tests/test.h"

/* ---- The decoder: protocol buffers by their own definition, with names for the numbers of fields ---- */

typedef struct Bytes {
    const unsigned char *at, *end;
} Bytes;

typedef struct Field {
    int number;
    uint64_t value; /* of a varint, or a float's bits */
    Bytes bytes;    /* of all other kinds */
} Field;

static uint64_t read_varint(Bytes *from)
{
    uint64_t value = 0;
    for (int shift = 0; from->at < from->end; shift += 7) {
        value |= (uint64_t)(*from->at & 127) << shift;
        if (*from->at++ < 128) return value;
    }
    test_check(false, __FILE__, __LINE__, "a varint ends");
    return 0;
}

static bool next_field(Bytes *from, Field *field)
{
    if (from->at >= from->end || test_failed()) return false;
    uint64_t tag = read_varint(from), kind = tag & 7;
    *field = (Field){.number = (int)(tag >> 3)};
    int64_t size = kind == 0 ? 0 : kind == 5 ? 4 : (int64_t)read_varint(from);
    if (kind == 0) field->value = read_varint(from);
    field->bytes = (Bytes){from->at, from->at + size};
    bool fits = (kind == 0 || kind == 2 || kind == 5) && size >= 0 && size <= from->end - from->at;
    for (int i = 0; fits && kind == 5 && i < 4; i++) field->value |= (uint64_t)from->at[i] << 8 * i;
    from->at += fits ? size : 0;
    return test_check(fits, __FILE__, __LINE__, "a field fits its message");
}

/* The first field of that number, in a message inside the message and so on: a path ends with 0. */
static Field find(Bytes message, const int *path)
{
    for (Field field; next_field(&message, &field);) {
        if (field.number == *path) return path[1] ? find(field.bytes, path + 1) : field;
    }
    return (Field){0};
}
#define FIND(message, ...) find((message), (const int[]){__VA_ARGS__, 0})

static void put_text(FILE *out, const char *before, Field field)
{
    fprintf(out, "%s%.*s", before, (int)(field.bytes.end - field.bytes.at), (const char *)field.bytes.at);
}

static float float_of(uint64_t bits)
{
    uint32_t word = (uint32_t)bits;
    float number;
    memcpy(&number, &word, sizeof number);
    return number;
}

static uint64_t read_number(const unsigned char *bytes, int size)
{
    uint64_t number = 0;
    for (int i = 0; i < size; i++) number |= (uint64_t)bytes[i] << 8 * i;
    return number;
}

/* " strides=[2,2]", " group=1", " epsilon=0.5f" */
static void put_attribute(FILE *out, Bytes attribute)
{
    put_text(out, " ", FIND(attribute, 1));
    const uint64_t type = FIND(attribute, 20).value;
    if (type == 1) fprintf(out, "=%gf", (double)float_of(FIND(attribute, 2).value));
    if (type == 2) fprintf(out, "=%lld", (long long)FIND(attribute, 3).value);
    const char *before = "=[";
    for (Field field; type == 7 && next_field(&attribute, &field);) {
        if (field.number != 8) continue;
        fprintf(out, "%s%lld", before, (long long)field.value);
        before = ",";
    }
    fprintf(out, type == 7 ? "]" : type == 1 || type == 2 ? "" : "?");
}

/* "Relu/4 = Relu Conv/3 ATTRIBUTES" */
static void put_node(FILE *out, Bytes node)
{
    put_text(out, "", FIND(node, 2));
    put_text(out, " = ", FIND(node, 4));
    Field field;
    for (Bytes rest = node; next_field(&rest, &field);)
        if (field.number == 1) put_text(out, field.bytes.at < field.bytes.end ? " " : " -", field);
    for (Bytes rest = node; next_field(&rest, &field);)
        if (field.number == 5) put_attribute(out, field.bytes);
    fputc('\n', out);
}

/* "conv.weight [8,1,3,3]", and the values of whole numbers and of up to 4 floats; "?" if the size is wrong. */
static void put_initializer(FILE *out, Bytes tensor)
{
    const Bytes values = FIND(tensor, 9).bytes;
    const uint64_t type = FIND(tensor, 2).value;
    const int size = type == 7 ? 8 : 4;
    int64_t count = 1;
    put_text(out, "", FIND(tensor, 8));
    fprintf(out, " [");
    for (Field field, first = {0}; next_field(&tensor, &field);) {
        if (field.number != 1) continue;
        fprintf(out, "%s%lld", first.number ? "," : "", (long long)field.value);
        count *= (int64_t)field.value;
        first = field;
    }
    fprintf(out, "]%s", count * size == values.end - values.at && (type == 1 || type == 7) ? "" : "?");
    for (int64_t i = 0; i < count && count <= 4; i++) {
        const uint64_t bits = read_number(values.at + i * size, size);
        if (type == 7) fprintf(out, " %lld", (long long)bits);
        else fprintf(out, " %g", (double)float_of(bits));
    }
    fputc('\n', out);
}

/* "input: images [N,1,28,28]" */
static void put_end(FILE *out, const char *what, Bytes info)
{
    put_text(out, what, FIND(info, 1));
    fprintf(out, " [");
    const char *before = "";
    Bytes shape = FIND(info, 2, 1, 2).bytes;
    for (Field dim; next_field(&shape, &dim); before = ",") {
        const Field value = FIND(dim.bytes, 1), name = FIND(dim.bytes, 2);
        fprintf(out, "%s", before);
        if (value.number) fprintf(out, "%lld", (long long)value.value);
        else put_text(out, name.number ? "" : "*", name);
    }
    fprintf(out, "]%s\n", FIND(info, 2, 1, 1).value == 1 ? "" : " not float");
}

/* The file as text, to be freed. */
static char *text_of(const char *path)
{
    int64_t size = 0;
    unsigned char *bytes = weft_file_read_all(path, 1 << 24, &size);
    if (!bytes) return NULL;
    const Bytes model = {bytes, bytes + size}, graph = FIND(model, 7).bytes;
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    fprintf(out, "version %d, opset %d\n", (int)FIND(model, 1).value, (int)FIND(model, 8, 2).value);
    Field field;
    for (Bytes rest = graph; next_field(&rest, &field);) {
        if (field.number == 1) put_node(out, field.bytes);
        if (field.number == 5) put_initializer(out, field.bytes);
        if (field.number == 11) put_end(out, "input: ", field.bytes);
        if (field.number == 12) put_end(out, "output: ", field.bytes);
    }
    fclose(out);
    weft_free(bytes);
    return text;
}

static bool check_text(const char *path, const char *expected)
{
    char *text = text_of(path);
    bool same = text && test_text(text, expected, __FILE__, __LINE__, "the file");
    free(text);
    return same;
}

/* ---- Whole networks ---- */

typedef struct Net {
    Module base;
    Module *conv, *norm, *skip, *drop, *fc;
} Net;

/* A skip connection, everything that attributes are, all that is fused, and what vanishes in evaluation. */
static Tensor *net_forward(Module *self, Tensor *x)
{
    Net *net = (Net *)self;
    x = nn_forward(net->drop, nn_forward(net->norm, nn_forward(net->conv, x)));
    x = op_avg_pool2d(op_leaky_relu(op_add(x, nn_forward(net->skip, x)), 0.125), 3, .stride = 2, .padding = 1);
    return op_log_softmax(nn_forward(net->fc, op_flatten(op_max_pool2d(x, 2))), 1);
}

static Module *net_new(void)
{
    Net *net = nn_module(Net, net_forward);
    nn_child(net, conv, nn_conv2d(2, 4, 3, .stride = 2, .padding = 1, .relu = true));
    nn_child(net, norm, nn_batch_norm2d(4, .eps = 0.25));
    nn_child(net, skip, nn_conv2d(4, 4, 3, .padding = 2, .dilation = 2, .groups = 2, .no_bias = true));
    nn_child(net, drop, nn_dropout(0.5));
    nn_child(net, fc, nn_linear(4 * 2 * 1, 3, .relu = true));
    return nn_ready(net);
}

static const char NET_TEXT[] =
    "version 7, opset 13\n"
    "Conv/3 = Conv images conv.weight conv.bias kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1] dilations=[1,1] "
    "group=1\n"
    "Relu/4 = Relu Conv/3\n"
    "BatchNormalization/9 = BatchNormalization Relu/4 norm.weight norm.bias norm.running_mean norm.running_var "
    "epsilon=0.25f\n"
    "Conv/11 = Conv BatchNormalization/9 skip.weight kernel_shape=[3,3] strides=[1,1] pads=[2,2,2,2] "
    "dilations=[2,2] group=2\n"
    "Add/12 = Add BatchNormalization/9 Conv/11\n"
    "LeakyRelu/13 = LeakyRelu Add/12 alpha=0.125f\n"
    "AveragePool/14 = AveragePool LeakyRelu/13 kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1] "
    "count_include_pad=1\n"
    "MaxPool/15 = MaxPool AveragePool/14 kernel_shape=[2,2] strides=[2,2] pads=[0,0,0,0]\n"
    "Reshape/17 = Reshape MaxPool/15 constant/16\n"
    "Gemm/20 = Gemm Reshape/17 fc.weight fc.bias transB=1\n"
    "Relu/21 = Relu Gemm/20\n"
    "scores = LogSoftmax Relu/21 axis=1\n"
    "conv.weight [4,2,3,3]\n"
    "conv.bias [4] 0.125 0.125 0.125 0.125\n"
    "norm.weight [4] 1 1 1 1\n"
    "norm.bias [4] 0 0 0 0\n"
    "norm.running_mean [4] 0 0 0 0\n"
    "norm.running_var [4] 1 1 1 1\n"
    "skip.weight [4,2,3,3]\n"
    "constant/16 [2] -1 8\n"
    "fc.weight [3,8]\n"
    "fc.bias [3] 0.5 -0.25 2\n"
    "input: images [N,2,16,8]\n"
    "output: scores [N,3]\n";

static bool fill(Module *module, const Real *values)
{
    Tensor *bias = module->parameters.items[1].tensor;
    return tensor_write(bias, values, tensor_count(bias));
}

TEST(onnx_of_a_network)
{
    Module *module = net_new();
    CHECK(module);
    Net *net = (Net *)module;
    CHECK(fill(net->conv, (Real[]){0.125, 0.125, 0.125, 0.125}) && fill(net->fc, (Real[]){0.5, -0.25, 2}));
    CHECK(nn_export_onnx(module, SHAPE(1, 2, 16, 8), test_path("net.onnx"), .input_name = "images",
                         .output_name = "scores"));
    CHECK(check_text(test_path("net.onnx"), NET_TEXT));
    nn_free(module);
}

/* Neighbours that Sequential runs in one pass are operators of their own. */
TEST(onnx_of_a_sequential)
{
    Module *module = nn_sequential(nn_conv2d(1, 1, 1, .relu = true), nn_batch_norm2d(1, .no_affine = true),
                                   nn_dropout(0.5), nn_relu(), nn_flatten());
    CHECK(module);
    CHECK(fill(module->children[0].module, (Real[]){0.5}));
    tensor_set(module->children[0].module->parameters.items[0].tensor, AT(0, 0, 0, 0), 3);
    CHECK(nn_export_onnx(module, SHAPE(1, 1, 2, 3), test_path("net.onnx")));
    CHECK(check_text(test_path("net.onnx"),
                     "version 7, opset 13\n"
                     "Conv/3 = Conv input 0.weight 0.bias kernel_shape=[1,1] strides=[1,1] pads=[0,0,0,0] "
                     "dilations=[1,1] group=1\n"
                     "Relu/4 = Relu Conv/3\n"
                     "BatchNormalization/9 = BatchNormalization Relu/4 constant/7 constant/8 1.running_mean "
                     "1.running_var epsilon=1e-05f\n"
                     "Relu/10 = Relu BatchNormalization/9\n"
                     "output = Reshape Relu/10 constant/11\n"
                     "0.weight [1,1,1,1] 3\n"
                     "0.bias [1] 0.5\n"
                     "1.running_mean [1] 0\n"
                     "1.running_var [1] 1\n"
                     "constant/7 [1] 1\n"
                     "constant/8 [1] 0\n"
                     "constant/11 [2] -1 6\n"
                     "input: input [N,1,2,3]\n"
                     "output: output [N,6]\n"));
    nn_free(module);
}

/* ---- Every op ---- */

/* The first input is the module's; another of the same shape is made of it, all others are constants. */
static const char *const rows[] = {
    "add : Nx3x4x2 Nx3x4x2", "add : Nx3x4x2 3x1x2", "add : Nx1x5 4x1", "sub : Nx3x4x2 Nx3x4x2", "sub : N 3x1",
    "mul : Nx3x4 Nx3x4", "mul : Nx1x4 1x3x1", "div : Nx3x2 Nx3x2", "div : Nx3x2 scalar+3",
    "add_scalar s=1.5 : Nx3x2", "sub_scalar s=1.5 : Nx3x2", "mul_scalar s=-2.5 : Nx3x2", "div_scalar s=-4 : Nx3x2",
    "neg : Nx3x2", "exp : Nx3x2", "log : Nx3x2", "sqrt : Nx3x2", "square : Nx3x2", "abs : Nx3x2", "tanh : Nx3x2",
    "sigmoid : Nx3x2", "relu : Nx3x2", "leaky_relu slope=0.1 : Nx3x2", "leaky_relu slope=-0.5 : N",
    "sum : Nx3x4x2", "sum dims=0 : Nx3x4x2", "sum dims=0,2,3 keep=1 : Nx3x4x2", "sum dims=1,3 : Nx3x4x2",
    "sum dims=3 keep=1 : Nx3x4x2", "sum dims=0 : N", "mean : Nx3x4x2", "mean dims=0 keep=1 : Nx3x4x2",
    "mean dims=0,2 : Nx3x4x2", "mean dims=1,2,3 : Nx3x4x2", "mean dims=2 : Nx3x4x2", "mean dims=0 : N",
    "reshape to=Nx4x6 : Nx3x4x2", "reshape to=24xN : Nx3x4x2", "reshape to=-1 : Nx3x4", "reshape to=Nx-1 : N",
    "reshape to=2x-1x3 : Nx6x4", "flatten : Nx3x4x2", "flatten : Nx3",
    "transpose a=1 b=3 : Nx3x4x2", "transpose a=0 b=1 : Nx3x4", "transpose a=0 b=2 : Nx3x4x2",
    "transpose a=-1 b=-2 : Nx3x4", "transpose a=1 b=1 : Nx3", "concat dim=1 : Nx3x2 Nx3x2",
    "concat dim=0 : Nx3x2 4x3x2 Nx3x2", "concat dim=-1 : Nx3x2 Nx3x2", "concat dim=0 : N 3 N",
    "narrow dim=1 start=1 length=2 : Nx4x3", "narrow dim=0 start=0 length=1 : Nx4x3",
    "narrow dim=-1 start=2 length=1 : Nx4x3",
    "matmul : Nx3 3x4", "linear : Nx5 4x5 4", "linear : Nx6 4x6 none", "linear relu=1 : Nx5 4x5 4",
    "conv2d : Nx3x6x7 4x3x3x3 4", "conv2d relu=1 : Nx3x6x7 4x3x3x3 none", "conv2d : Nx3x4x4 5x3x1x1 5",
    "conv2d padding=1 : Nx2x4x5 3x2x3x3 3", "conv2d stride=2 : Nx2x7x6 3x2x3x3 3",
    "conv2d stride=2 padding=1 relu=1 : Nx2x7x6 3x2x3x3 3", "conv2d dilation=2 : Nx2x7x6 3x2x3x3 3",
    "conv2d dilation=2 padding=2 stride=3 : Nx2x7x6 3x2x3x3 3", "conv2d groups=2 : Nx4x5x5 6x2x3x3 6",
    "conv2d groups=4 padding=1 relu=1 : Nx4x5x5 4x1x3x3 4", "conv2d : Nx2x5x6 3x2x2x3 3",
    "conv2d padding=1 : Nx32x5x7 36x32x3x3*0.1 36",
    "conv2d padding=1 relu=1 max_pool=2 : Nx32x8x6 32x32x3x3*0.1 32",
    "max_pool2d kernel=2 : Nx2x6x4", "max_pool2d kernel=3 stride=2 padding=1 : Nx2x6x5",
    "max_pool2d kernel=2 stride=1 : Nx2x4x5", "max_pool2d kernel=2 : Nx2x5x7", "max_pool2d kernel=2 stride=3 : Nx1x6x7",
    "avg_pool2d kernel=2 : Nx2x6x4", "avg_pool2d kernel=3 stride=2 padding=1 : Nx2x6x5",
    "avg_pool2d kernel=2 stride=1 : Nx2x4x5", "avg_pool2d kernel=2 stride=3 : Nx1x6x7",
    "global_avg_pool2d : Nx3x4x5",
    "batch_norm2d : Nx3x2x4 3*0.5+1 3 ~3 ~3*0.5+1", "batch_norm2d eps=0.1 : Nx3x2x4 none none ~3 ~3*0.5+1",
    "softmax dim=1 : Nx5", "softmax dim=0 : Nx5", "softmax dim=2 : Nx3x4x2", "softmax dim=0 : N",
    "log_softmax dim=1 : Nx5", "log_softmax dim=-1 : Nx3x4", "log_softmax dim=1 : Nx3x4",
    "mse_loss : Nx3x2 Nx3x2", "mse_loss : N N",
};
enum { ROW_COUNT = sizeof rows / sizeof *rows };

typedef struct CaseModule {
    Module base;
    const char *row;
} CaseModule;

static Tensor *case_forward(Module *self, Tensor *x)
{
    Case c;
    if (!case_parse(&c, ((CaseModule *)self)->row, tensor_size(x, 0))) return weft_fail("no case");
    Tensor *inputs[CASE_INPUTS] = {x};
    for (int i = 1; i < c.input_count; i++) {
        inputs[i] = case_input(&c, i);
        const bool alike = shape_equal(tensor_shape(inputs[i]), tensor_shape(x));
        if (inputs[i] != TENSOR_NONE && alike) inputs[i] = op_add_scalar(op_square(x), 0.25);
    }
    return case_run(&c, inputs);
}

/* The shape of the first input with n samples. */
static Shape case_shape(const char *row, int64_t n)
{
    Case c;
    return case_parse(&c, row, n) ? c.inputs[0].shape : SCALAR;
}

/* A file of float32 and, on a line of the list, its name and shape. */
static void write_values(FILE *list, const char *folder, const char *name, const Tensor *t)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    CHECK(file);
    Real *values = test_values(t);
    for (int64_t i = 0; values && i < tensor_count(t); i++) fwrite(&(float){(float)values[i]}, sizeof(float), 1, file);
    free(values);
    CHECK(fclose(file) == 0);
    fprintf(list, " %s ", name);
    const Shape shape = tensor_shape(t);
    for (int d = 0; d < shape.rank; d++) fprintf(list, "%s%lld", d ? "x" : "", (long long)shape.size[d]);
    if (shape.rank == 0) fprintf(list, "scalar");
}

static const int64_t batches[] = {1, 15, 100};
enum { BATCH_COUNT = sizeof batches / sizeof *batches };

/* What the module of the file NAME.onnx makes of batch i, for tests/peers/onnxruntime_check.js. */
static void write_run(FILE *list, const char *folder, const char *name, Module *module, int i, Tensor *x)
{
    char in[64], out[64];
    snprintf(in, sizeof in, "%s.%d.in", name, i);
    snprintf(out, sizeof out, "%s.%d.out", name, i);
    fprintf(list, "%s.onnx", name);
    write_values(list, folder, in, x);
    write_values(list, folder, out, nn_forward(module, x));
    fputc('\n', list);
}

/* The golden file goes on with a line that is the row, and the text. */
static void compare_next(FILE *golden, const char *text, const char *row)
{
    char expected[1024] = "";
    CHECK(text && strlen(text) < sizeof expected && fgets(expected, sizeof expected, golden));
    expected[strcspn(expected, "\n")] = '\0';
    CHECK_TEXT(expected, row);
    expected[fread(expected, 1, strlen(text), golden)] = '\0';
    CHECK_TEXT(text, expected);
}

/* A row's export, which the next lines of the golden file are to show. ONNX Runtime has run those; a change of what is
 * written shows without it. With ONNX_CASES a new golden file is left in the folder, called text. */
static void run_row(FILE *list, FILE *written, FILE *golden, const char *folder, int row)
{
    CaseModule *module = nn_module(CaseModule, case_forward);
    CHECK(module);
    module->row = rows[row];
    char path[512], name[16];
    snprintf(name, sizeof name, "%d", row);
    snprintf(path, sizeof path, "%s/%s.onnx", folder, name);
    if (!nn_export_onnx(&module->base, case_shape(rows[row], 1), path)) test_check(false, __FILE__, row, rows[row]);
    char *text = text_of(path);
    if (written) fprintf(written, "%s\n%s", rows[row], text);
    else compare_next(golden, text, rows[row]);
    free(text);
    nn_eval(&module->base);
    for (int i = 0; list && i < BATCH_COUNT && !test_failed(); i++) {
        Tensor *x = test_tensor_near(case_shape(rows[row], batches[i]), 40, 0.5, 1);
        write_run(list, folder, name, &module->base, i, x);
    }
    nn_free(&module->base);
}

TEST(onnx_of_every_op)
{
    const char *kept = getenv("ONNX_CASES");
    char folder[400], path[512];
    snprintf(folder, sizeof folder, "%s", kept ? kept : test_path(""));
    snprintf(path, sizeof path, "%s/list", folder);
    FILE *list = kept ? fopen(path, "w") : NULL, *golden = fopen("tests/golden/onnx.txt", "r");
    snprintf(path, sizeof path, "%s/text", folder);
    FILE *written = kept ? fopen(path, "w") : NULL;
    CHECK(((list && written) || !kept) && (golden || kept));
    for (int row = 0; row < ROW_COUNT && !test_failed(); row++) run_row(list, written, golden, folder, row);
    if (list) CHECK(fclose(list) == 0 && fclose(written) == 0);
    if (golden) fclose(golden);
}

/* ---- What a forward may do, and what cannot be written ---- */

/* A module with one parameter [3] for any forward. */
typedef struct Tried {
    Module base;
    Tensor *scale;
} Tried;

static Module *tried_new(Tensor *(*forward)(Module *self, Tensor *x))
{
    Tried *tried = nn_module(Tried, forward);
    nn_parameter(tried, scale, SHAPE(3));
    return nn_ready(tried);
}

static Tensor *scale_of(Module *self)
{
    return ((Tried *)self)->scale;
}

/* The export of that forward, on [N, 3], gives this file. */
static bool gives(Tensor *(*forward)(Module *self, Tensor *x), const char *expected)
{
    Module *module = tried_new(forward);
    bool ok = module && tensor_write(scale_of(module), (Real[]){1, 2, 3}, 3) &&
              nn_export_onnx(module, SHAPE(1, 3), test_path("net.onnx")) && check_text(test_path("net.onnx"), expected);
    nn_free(module);
    return ok;
}

/* The export fails, and leaves the file and no tensor. */
static bool refused(Tensor *(*forward)(Module *self, Tensor *x))
{
    Module *module = tried_new(forward);
    static const char before[] = "before";
    bool ok = test_write(test_path("net.onnx"), before, sizeof before) && module &&
              !nn_export_onnx(module, SHAPE(1, 3), test_path("net.onnx"));
    nn_free(module);
    const TestBytes after = test_read(test_path("net.onnx"));
    return ok && after.count == sizeof before && memcmp(after.at, before, sizeof before) == 0;
}

#define REFUSED(name, message)                                                                                         \
    do {                                                                                                               \
        CHECK(refused(forward_##name));                                                                                \
        CHECK_ERROR(message);                                                                                          \
    } while (0)

/* A forward of x alone. */
#define FORWARD(name, result)                                                                                          \
    static Tensor *forward_##name(Module *self, Tensor *x)                                                             \
    {                                                                                                                  \
        (void)self;                                                                                                    \
        return result;                                                                                                 \
    }

FORWARD(same, x)

static Tensor *forward_constants(Module *self, Tensor *x)
{
    Tensor *scale = scale_of(self), *folded = op_square(scale);
    x = op_mul(op_mul(x, scale), op_reshape(scale, SHAPE(1, 3)));
    return op_add(op_add(x, folded), folded);
}

TEST(onnx_of_constants)
{
    CHECK(gives(forward_same, "version 7, opset 13\noutput = Identity input\n"
                              "input: input [N,3]\noutput: output [N,3]\n"));
    CHECK(gives(forward_constants, "version 7, opset 13\nMul/2 = Mul input scale\nMul/4 = Mul Mul/2 constant/3\n"
                                   "Add/6 = Add Mul/4 constant/5\noutput = Add Add/6 constant/5\nscale [3] 1 2 3\n"
                                   "constant/3 [1,3] 1 2 3\nconstant/5 [3] 1 4 9\n"
                                   "input: input [N,3]\noutput: output [N,3]\n"));
}

FORWARD(scaled, op_mul(x, scale_of(self)))

static Tensor *forward_scalars(Module *self, Tensor *x)
{
    (void)self;
    return op_mean(op_sum(op_reshape(op_sum(x, .keep = true), SCALAR)));
}

TEST(onnx_of_scalars)
{
    CHECK(gives(forward_scalars, "version 7, opset 13\nReduceSum/2 = ReduceSum input constant/1 keepdims=1\n"
                                 "output = Squeeze ReduceSum/2\nconstant/1 [2] 0 1\n"
                                 "input: input [N,3]\noutput: output []\n"));
}

/* A weight that is called as the input or the output of the file has another name there. */
TEST(onnx_of_a_weight_whose_name_is_taken)
{
    Module *module = tried_new(forward_scaled);
    CHECK(tensor_write(scale_of(module), (Real[]){1, 2, 3}, 3));
    CHECK(nn_export_onnx(module, SHAPE(1, 3), test_path("net.onnx"), .input_name = "scale"));
    CHECK(check_text(test_path("net.onnx"), "version 7, opset 13\noutput = Mul scale constant/1\n"
                                            "constant/1 [3] 1 2 3\ninput: scale [N,3]\noutput: output [N,3]\n"));
    CHECK(nn_export_onnx(module, SHAPE(1, 3), test_path("net.onnx"), .output_name = "scale"));
    CHECK(check_text(test_path("net.onnx"), "version 7, opset 13\nscale = Mul input constant/1\n"
                                            "constant/1 [3] 1 2 3\ninput: input [N,3]\noutput: scale [N,3]\n"));
    nn_free(module);
}

FORWARD(zeros, tensor_zeros(tensor_shape(x)))
FORWARD(detached, op_mul(x, op_mean(tensor_detach(x))))
FORWARD(argmax, op_add(x, op_reshape(op_argmax(x, 1), SHAPE(-1, 1))))
FORWARD(made_for_batch, op_add(x, tensor_full(tensor_shape(x), 1)))
FORWARD(number_of_batch, op_mul_scalar(op_sum(x, .dims = DIM(0)), 1 / (double)tensor_size(x, 0)))
FORWARD(half_of_batch, op_narrow(x, 0, 0, tensor_size(x, 0) / 2))
FORWARD(other_op, tensor_size(x, 0) > 8 ? op_exp(x) : op_tanh(x))
FORWARD(more, tensor_size(x, 0) > 8 ? op_exp(op_exp(x)) : op_exp(x))
FORWARD(rank, op_reshape(x, tensor_size(x, 0) > 8 ? SHAPE(-1, 3, 1) : SHAPE(-1, 3)))
FORWARD(dropout, op_dropout(x, 0.5, (RandomKey){.seed = 1}))
FORWARD(fails, op_matmul(x, x))
FORWARD(batch_statistics, op_batch_norm2d(op_reshape(x, SHAPE(-1, 1, 1, 3)), TENSOR_NONE, TENSOR_NONE, TENSOR_NONE,
                                          TENSOR_NONE, .training = true))
FORWARD(norm_dropout, op_batch_norm2d(op_reshape(x, SHAPE(-1, 1, 1, 3)), TENSOR_NONE, TENSOR_NONE,
                                      tensor_zeros(SHAPE(1)), tensor_full(SHAPE(1), 1), .dropout = 0.5))
FORWARD(norm_dropout_of_batch, op_batch_norm2d(op_reshape(x, SHAPE(-1, 1, 1, 3)), TENSOR_NONE, TENSOR_NONE,
                                               tensor_zeros(SHAPE(1)), tensor_full(SHAPE(1), 1),
                                               .dropout = tensor_size(x, 0) > 8 ? 0.5 : 0))
FORWARD(bias_for_more, op_linear(x, tensor_full(SHAPE(1, 3), 1),
                                 tensor_size(x, 0) > 8 ? tensor_full(SHAPE(1), 1) : TENSOR_NONE))
FORWARD(bias_for_fewer, op_linear(x, tensor_full(SHAPE(1, 3), 1),
                                  tensor_size(x, 0) > 8 ? TENSOR_NONE : tensor_full(SHAPE(1), 1)))
FORWARD(too_large, op_mul(x, tensor_full(SHAPE(3), 1e300)))

static Tensor *forward_other_input(Module *self, Tensor *x)
{
    (void)self;
    Tensor *a = op_exp(x), *b = op_exp(x), *c = op_mul(a, b);
    return tensor_size(x, 0) > 8 ? op_sub(a, c) : op_sub(b, c);
}

TEST(onnx_refuses_what_depends_on_the_batch)
{
    REFUSED(made_for_batch, "add takes a tensor [5, 3] that differs");
    REFUSED(detached, "mul takes a tensor [] that differs");
    REFUSED(argmax, "add takes a tensor [5, 1] that differs");
    REFUSED(number_of_batch, "mul_scalar: s depends on the size of the batch");
    REFUSED(half_of_batch, "narrow: length depends");
    REFUSED(other_op, "tanh is called where exp is in a larger batch");
    REFUSED(other_input, "sub takes another tensor");
    REFUSED(more, "1 ops become 2");
    REFUSED(bias_for_more, "linear takes another tensor in a larger batch");
    REFUSED(bias_for_fewer, "linear takes another tensor in a larger batch");
    REFUSED(rank, "[5, 3] becomes [16, 3, 1]");
    REFUSED(norm_dropout_of_batch, "batch_norm2d: what it is depends on the size of the batch");
}

TEST(onnx_dry_run_writes_nothing)
{
    Module *module = tried_new(forward_scaled), *other = tried_new(forward_dropout);
    CHECK(nn_export_onnx(module, SHAPE(1, 3), test_path("net.onnx"), .dry_run = true));
    CHECK_EQUAL(test_read(test_path("net.onnx")).count, 0);
    CHECK(!nn_export_onnx(other, SHAPE(1, 3), test_path("net.onnx"), .dry_run = true));
    CHECK_ERROR("onnx: dropout cannot be written");
    nn_free(module);
    nn_free(other);
}

TEST(onnx_refuses_what_it_cannot_say)
{
    REFUSED(zeros, "does not depend on the input");
    REFUSED(dropout, "onnx: dropout cannot be written");
    REFUSED(batch_statistics, "batch_norm2d: only evaluation");
    REFUSED(norm_dropout, "batch_norm2d: only evaluation can be written, without dropout");
    if (sizeof(Real) == sizeof(double)) REFUSED(too_large, "onnx: 1e+300 in constant/1 is too large for float32");
    REFUSED(fails, "matmul");
    CHECK(!nn_export_onnx(NULL, SHAPE(1, 3), "x"));
    CHECK_ERROR("NULL");
    Module *module = nn_relu();
    CHECK(!nn_export_onnx(module, SHAPE(1, 3), NULL));
    CHECK_ERROR("NULL");
    CHECK(!nn_export_onnx(module, SCALAR, "x"));
    CHECK_ERROR("no batch");
    CHECK(!nn_export_onnx(module, SHAPE(1, 0), "x"));
    CHECK_ERROR("input [1, 0] is no batch");
    CHECK(!nn_export_onnx(module, SHAPE(1, 3), test_path("x"), .input_name = "a/b"));
    CHECK_ERROR("'a/b' is no name");
    CHECK(!nn_export_onnx(module, SHAPE(1, 3), test_path("x"), .output_name = ""));
    CHECK_ERROR("'' is no name");
    CHECK(!nn_export_onnx(module, SHAPE(1, 3), test_path("x"), .input_name = "output"));
    CHECK_ERROR("both called 'output'");
    CHECK(!nn_export_onnx(module, SHAPE(1, 3), "/nowhere/x.onnx"));
    CHECK_ERROR("/nowhere");
    nn_free(module);
}

/* ---- An op from outside ---- */

static bool cube_backward(const Node *node, Tensor *grad)
{
    return node_add_grad(node, 0, op_mul_scalar(op_mul(grad, op_square(node_input(node, 0))), 3));
}

static Real cube(const Real *values, const void *context)
{
    (void)context;
    return values[0] * values[0] * values[0];
}

static Tensor *record_cube(const Op *op, Tensor *x)
{
    return op_record(op, tensor_map(cube, &x, 1, NULL), &x, 1, NULL, 0);
}

static OnnxValue *cube_onnx(const OnnxCall *call)
{
    return onnx_op(call, "Pow", call->inputs[0], onnx_number(call, 3));
}

/* Its failure is not lost although it returns a value. */
static OnnxValue *careless_onnx(const OnnxCall *call)
{
    onnx_set_integers(call->inputs[0], "axes", (int64_t[7]){0}, 7);
    return call->inputs[0];
}

static OnnxValue *lavish_onnx(const OnnxCall *call)
{
    OnnxValue *y = onnx_op_same(call, "Exp");
    for (int i = 0; i <= OP_MAX_ATTRIBUTES; i++) onnx_set_integer(y, "axis", i);
    return y;
}

static OnnxValue *signed_onnx(const OnnxCall *call)
{
    OnnxValue *y = onnx_op(call, "Clip", call->inputs[0], NULL, onnx_number(call, -2));
    onnx_set_integer(y, "axis", -3);
    onnx_set_integers(y, "axes", (int64_t[]){-1, 0, 300}, 3);
    onnx_set_number(y, "zero", 0);
    return y;
}

static const Op cube_alone = {.name = "cube", .backward = cube_backward, .reads_inputs = 1},
                cube_told = {.name = "cube", .backward = cube_backward, .onnx = cube_onnx, .reads_inputs = 1},
                careless = {.name = "careless", .backward = cube_backward, .onnx = careless_onnx, .reads_inputs = 1},
                lavish = {.name = "lavish", .backward = cube_backward, .onnx = lavish_onnx, .reads_inputs = 1},
                with_signs = {.name = "signs", .backward = cube_backward, .onnx = signed_onnx, .reads_inputs = 1};
FORWARD(cube_alone, record_cube(&cube_alone, x))
FORWARD(cube, record_cube(&cube_told, x))
FORWARD(careless, record_cube(&careless, x))
FORWARD(lavish, record_cube(&lavish, x))
FORWARD(with_signs, record_cube(&with_signs, x))

TEST(onnx_of_an_op_from_outside)
{
    REFUSED(cube_alone, "onnx: cube cannot be written: the op has no onnx function (autograd/onnx.h)");
    CHECK(gives(forward_cube, "version 7, opset 13\noutput = Pow input constant/1\nconstant/1 [] 3\n"
                              "input: input [N,3]\noutput: output [N,3]\n"));
    /* An input left out between others, and numbers of any sign. */
    CHECK(gives(forward_with_signs, "version 7, opset 13\noutput = Clip input - constant/1 axis=-3 axes=[-1,0,300] "
                                    "zero=0f\nconstant/1 [] -2\ninput: input [N,3]\noutput: output [N,3]\n"));
    REFUSED(careless, "a list of 7 whole numbers");
    REFUSED(lavish, "onnx: Exp has more than 8 attributes");
}

/* ---- What stays as it was ---- */

TEST(onnx_leaves_the_module_as_it_was)
{
    Module *module = net_new();
    CHECK(module);
    ((Net *)module)->skip->training = false;
    const bool recorded = autograd_record(false);
    Observer observer = {0};
    nn_observe(&observer);
    CHECK(nn_export_onnx(module, SHAPE(1, 2, 16, 8), test_path("a.onnx")));
    CHECK(nn_observe(NULL) == &observer);
    CHECK(!autograd_record(recorded));
    CHECK(module->training && ((Net *)module)->norm->training && !((Net *)module)->skip->training);
    NamedTensors buffers = nn_named_buffers(module), parameters = nn_named_parameters(module);
    for (int64_t i = 0; i < buffers.count; i++) CHECK_EQUAL(tensor_version(buffers.items[i].tensor), i == 1 ? 1 : 0);
    for (int64_t i = 0; i < parameters.count; i++) CHECK(!tensor_grad(parameters.items[i].tensor));
    nn_named_free(&buffers);
    nn_named_free(&parameters);
    nn_free(module);
}

TEST(onnx_survives_failing_allocations)
{
    Module *module = net_new();
    CHECK(module);
    int64_t k = 1;
    for (bool ok = false; !ok; k++) {
        const int64_t tensors = weft_counters().tensors;
        weft_alloc_fail_at(k);
        ok = nn_export_onnx(module, SHAPE(1, 2, 16, 8), test_path("net.onnx"));
        weft_alloc_fail_at(0);
        CHECK_EQUAL(weft_counters().tensors, tensors);
        if (!ok) CHECK_ERROR("memory");
        if (!ok) CHECK(access(test_path("net.onnx"), F_OK) != 0);
    }
    CHECK(k > 100);
    nn_free(module);
}

/* ---- The networks of the apps, and weights from PyTorch ---- */

static const struct Network {
    const char *name;
    Module *(*new_model)(double dropout);
} networks[] = {{"mnist_cnn", network_cnn}, {"mnist_tiny", network_tiny}};

/* With INTEROP=FOLDER, what the networks make of the weights FOLDER/NAME.safetensors, for the programs of tests/peers;
 * they find NAME.onnx there too. */
static void write_network(FILE *list, const char *folder, const struct Network *network)
{
    Module *module = network->new_model(0.5);
    char path[512];
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, network->name);
    CHECK(module && nn_load(module, path));
    nn_eval(module);
    for (int i = 0; i < BATCH_COUNT && !test_failed(); i++) {
        Tensor *images = test_tensor(SHAPE(batches[i], 1, 28, 28), 710 + (uint32_t)i, 2);
        write_run(list, folder, network->name, module, i, images);
    }
    nn_free(module);
}

TEST(interop_writes_what_the_networks_compute)
{
    const char *folder = getenv("INTEROP");
    if (!folder) SKIP("tests/test_interop.sh calls it with a folder");
    char path[512];
    snprintf(path, sizeof path, "%s/list", folder);
    FILE *list = fopen(path, "w");
    CHECK(list);
    for (int i = 0; i < 2 && !test_failed(); i++) write_network(list, folder, &networks[i]);
    CHECK(fclose(list) == 0);
}

/* A file that PyTorch wrote and what its network made of three images: tests/peers/pytorch_weights.py golden. */
TEST(interop_reads_weights_of_pytorch)
{
    Module *module = network_tiny(0);
    CHECK(module && nn_load(module, "tests/golden/pytorch_tiny.safetensors"));
    nn_eval(module);
    Tensor *y = nn_forward(module, test_tensor(SHAPE(3, 1, 28, 28), 700, 2));
    FILE *file = fopen("tests/golden/pytorch_tiny.txt", "r");
    CHECK(y && file);
    for (int64_t i = 0; i < 30; i++) {
        double expected = NAN;
        CHECK(fscanf(file, "%lf", &expected) == 1);
        CHECK_CLOSE(tensor_get(y, AT(i / 10, i % 10)), expected, 1e-5);
    }
    fclose(file);
    nn_free(module);
}

/* The fused ops of the networks come out as operators of their own, in the networks' order. */
TEST(onnx_of_the_networks)
{
    static const char *const operators[] = {
        "Conv Relu Conv Relu MaxPool Conv Relu Conv Relu MaxPool Reshape Gemm Relu Gemm LogSoftmax ",
        "Conv Relu BatchNormalization Conv Relu BatchNormalization Conv Relu BatchNormalization MaxPool "
        "Conv Relu BatchNormalization Conv Relu BatchNormalization Conv Relu BatchNormalization "
        "Conv Relu BatchNormalization Conv Relu BatchNormalization Conv AveragePool Reshape LogSoftmax "};
    for (int i = 0; i < 2; i++) {
        Module *module = networks[i].new_model(0.5);
        CHECK(nn_export_onnx(module, SHAPE(1, 1, 28, 28), test_path("net.onnx")));
        char *text = text_of(test_path("net.onnx")), types[512] = "";
        for (const char *at = text; at && (at = strstr(at, " = ")); ) {
            at += 3;
            strncat(types, at, strcspn(at, " ") + 1);
        }
        free(text);
        CHECK_TEXT(types, operators[i]);
        nn_free(module);
    }
}
