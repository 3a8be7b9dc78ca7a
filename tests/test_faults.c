/* Memory that runs out: of whatever a program does, allocation 1 fails, then 2, and so on until one run needs fewer.
 * Each time there is one error, nothing is left or changed that should not be, and the same thing then works. */
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "apps/trainer.h"
#include "nn/state.h"
#include "nn/summary.h"
#include "tensor/memory.h"
#include "tests/networks.h"
#include "tests/test.h"

enum { SIDE = 28, CLASSES = 10, IMAGES = 20, BATCH = 8, PATH_ROOM = 4096 };

/* True if it was done, false with an error and as if it had not been begun. */
typedef bool Action(void *context);

/* Runs the action with allocation 1, 1 + stride, 1 + 2 stride ... failing, once more after each failure, and returns
 * how often it failed: stride 1 leaves no allocation out. */
static int64_t failures_of(Action *action, void *context, int64_t stride)
{
    int64_t failures = 0;
    test_check(tensor_zeros(SCALAR), __FILE__, __LINE__, "the test's scope has taken its own memory");
    for (int64_t k = 1; !test_failed(); k += stride, failures++) {
        int64_t blocks = weft_counters().blocks, tensors = weft_counters().tensors;
        weft_alloc_fail_at(k);
        bool done = action(context);
        weft_alloc_fail_at(0);
        if (done) break;
        if (!test_error("memory: no room for", __FILE__, __LINE__)) break;
        test_equal(weft_counters().blocks, blocks, __FILE__, __LINE__, "blocks of memory after a failure and before");
        test_equal(weft_counters().tensors, tensors, __FILE__, __LINE__, "tensors after a failure and before");
        test_check(action(context), __FILE__, __LINE__, "the same works once there is memory");
    }
    return failures;
}

/* ---- A small data set in MNIST's files ---- */

static void write_idx(const char *name, const uint32_t *header, int words, int64_t values, int most)
{
    FILE *file = fopen(test_path(name), "wb");
    CHECK(file);
    for (int i = 0; i < 4 * words; i++) putc((int)(header[i / 4] >> (24 - 8 * (i % 4)) & 0xff), file);
    for (int64_t i = 0; i < values; i++) putc((int)((test_number(1, i) + 1) / 2 * most), file);
    CHECK(fclose(file) == 0);
}

/* Its folder, in `folder`. */
static void write_data(char folder[PATH_ROOM])
{
    snprintf(folder, PATH_ROOM, "%s", test_path("."));
    const uint32_t images[] = {0x803, IMAGES, SIDE, SIDE}, labels[] = {0x801, IMAGES};
    write_idx("train-images-idx3-ubyte", images, 4, IMAGES * SIDE * SIDE, 256);
    write_idx("train-labels-idx1-ubyte", labels, 2, IMAGES, CLASSES);
    write_idx("t10k-images-idx3-ubyte", images, 4, IMAGES * SIDE * SIDE, 256);
    write_idx("t10k-labels-idx1-ubyte", labels, 2, IMAGES, CLASSES);
}

/* ---- Making networks ---- */

typedef struct Network {
    const char *name;
    Module *(*make)(double dropout);
} Network;
static Network cnn = {"mnist_cnn", network_cnn}, tiny = {"mnist_tiny", network_tiny};

static bool make_network(void *context)
{
    const Network *network = context;
    Module *model = network->make(0.1);
    nn_free(model);
    return model != NULL;
}

TEST(short_memory_making_mnist_tiny)
{
    CHECK(failures_of(make_network, &tiny, 1) > 100);
}

/* Every third: drawing its weights takes a while. */
TEST(short_memory_making_mnist_cnn)
{
    CHECK(failures_of(make_network, &cnn, 3) > 10);
}

/* ---- A step ---- */

typedef struct Training {
    Module *model;
    TensorList parameters;
    Optimizer *sgd;
    Batch batch;
    Real *values; /* of all parameters, as they are to stay when a step fails */
    int64_t count;
} Training;

static void read_parameters(const Training *t, Real *values)
{
    for (int64_t i = 0; i < t->parameters.count; i++) {
        const Tensor *p = t->parameters.items[i];
        CHECK(tensor_read(p, values, tensor_count(p)));
        values += tensor_count(p);
    }
}

static void training_open(Training *t, const Network *network, double dropout)
{
    nn_seed(1);
    *t = (Training){.model = network->make(dropout)};
    CHECK(nn_parameters(t->model, &t->parameters));
    t->sgd = optimizer_sgd(&t->parameters, 0.01, .momentum = 0.9, .weight_decay = 1e-4);
    for (int64_t i = 0; i < t->parameters.count; i++) t->count += tensor_count(t->parameters.items[i]);
    t->values = malloc((size_t)t->count * sizeof *t->values);
    t->batch = (Batch){.images = test_tensor(SHAPE(2, 1, SIDE, SIDE), 2, 1), .labels = tensor_full(SHAPE(2), 3)};
    CHECK(t->sgd && t->values && t->batch.images && t->batch.labels);
    read_parameters(t, t->values);
}

static void training_close(Training *t)
{
    free(t->values);
    optimizer_free(t->sgd);
    tensor_list_free(&t->parameters);
    nn_free(t->model);
}

static bool take_step(void *context)
{
    Training *t = context;
    Scope scope = scope_open();
    bool ok = backward(op_nll_loss(nn_forward(t->model, t->batch.images), t->batch.labels)) && optimizer_step(t->sgd);
    scope_close(scope);
    Real *after = malloc((size_t)t->count * sizeof *after);
    if (after) read_parameters(t, after);
    if (ok && after) memcpy(t->values, after, (size_t)t->count * sizeof *after);
    else optimizer_clear(t->sgd);
    test_equal_bits(after, t->values, t->count, __FILE__, __LINE__, "parameters are as before the step");
    free(after);
    return ok;
}

/* The baseline kernels are slow, and slower where a sanitizer watches or an emulator runs them: there, every 16th. */
static int64_t sampled(int64_t fast)
{
    enum { SLOWER = 16 };
    const char *isa = weft_isa();
    return isa && strcmp(isa, "baseline") == 0 ? SLOWER * fast : fast;
}

/* Each allocation, if the environment says SHORT_MEMORY=all: .ci/run does. */
static int64_t stride_of(int64_t fast)
{
    const char *wanted = getenv("SHORT_MEMORY");
    return wanted && strcmp(wanted, "all") == 0 ? 1 : sampled(fast);
}

/* As many steps in between as failed lead to the same bits as if none had failed: without dropout, whose numbers go on
 * with each try. */
static void check_steps(const Network *network, double dropout, int64_t stride)
{
    Training disturbed, plain;
    training_open(&disturbed, network, dropout);
    CHECK(!test_failed());
    CHECK(take_step(&disturbed)); /* of the first step velocities stay behind */
    int64_t failures = failures_of(take_step, &disturbed, stride_of(stride));
    CHECK(failures >= 100 / stride_of(stride));
    training_open(&plain, network, dropout);
    for (int64_t i = 0; i < failures + 2; i++) CHECK(take_step(&plain));
    if (dropout == 0) CHECK_EQUAL_BITS(disturbed.values, plain.values, plain.count);
    training_close(&disturbed);
    training_close(&plain);
}

TEST(short_memory_in_a_step_of_mnist_tiny)
{
    check_steps(&tiny, 0, 1);
}

TEST(short_memory_in_a_step_of_mnist_tiny_with_dropout)
{
    check_steps(&tiny, 0.1, 1);
}

/* Every third, since its steps are slow. */
TEST(short_memory_in_a_step_of_mnist_cnn)
{
    check_steps(&cnn, 0, 3);
}

/* ---- Files, data, the summary ---- */

typedef struct Files {
    char data[PATH_ROOM], weights[PATH_ROOM], trained[PATH_ROOM], log[PATH_ROOM], checkpoint[PATH_ROOM];
    char report[PATH_ROOM];
    Module *model;
    FILE *out;
} Files;

static void files_open(Files *files, const Network *network)
{
    *files = (Files){.model = network->make(0.1), .out = fopen("/dev/null", "w")};
    write_data(files->data);
    snprintf(files->weights, PATH_ROOM, "%s", test_path("weights"));
    snprintf(files->trained, PATH_ROOM, "%s", test_path("trained"));
    snprintf(files->log, PATH_ROOM, "%s", test_path("log"));
    snprintf(files->checkpoint, PATH_ROOM, "%s", test_path("checkpoint"));
    snprintf(files->report, PATH_ROOM, "%s", test_path("report.html"));
    CHECK(files->model && files->out);
}

static void files_close(Files *files)
{
    nn_free(files->model);
    fclose(files->out);
}

static bool save(void *context)
{
    const Files *files = context;
    return nn_save(files->model, files->weights);
}

static bool load(void *context)
{
    const Files *files = context;
    return nn_load(files->model, files->weights);
}

static bool summarise(void *context)
{
    const Files *files = context;
    nn_train(files->model);
    bool done = nn_summary(files->model, SHAPE(1, 1, SIDE, SIDE), files->out);
    test_check(files->model->training, __FILE__, __LINE__, "a summary leaves the mode as it was");
    return done;
}

static bool read_data(void *context)
{
    const Files *files = context;
    Dataset *dataset = dataset_mnist(files->data, true);
    bool done = dataset_count(dataset) == IMAGES;
    dataset_free(dataset);
    return done;
}

/* A whole epoch: the last batch is a partial one. */
static bool load_batches(void *context)
{
    Dataset *dataset = context;
    Loader *loader = loader_new(dataset, BATCH, .shuffle = true, .augmentation = {.rotation = 10});
    int64_t images = 0;
    Batch batch;
    while (loader_next(loader, &batch)) images += batch.count;
    loader_free(loader);
    return images == IMAGES;
}

static void check_files(const Network *network, int64_t stride)
{
    Files files;
    files_open(&files, network);
    CHECK(failures_of(save, &files, stride) > 15 / stride);
    CHECK(failures_of(load, &files, stride) > 15 / stride);
    CHECK(failures_of(summarise, &files, stride_of(stride)) > 15 / stride_of(stride));
    files_close(&files);
}

TEST(short_memory_with_files_of_mnist_tiny)
{
    check_files(&tiny, 1);
}

/* Every fifth: its files are large. */
TEST(short_memory_with_files_of_mnist_cnn)
{
    check_files(&cnn, 5);
}

TEST(short_memory_with_data)
{
    Files files;
    files_open(&files, &tiny);
    CHECK(failures_of(read_data, &files, 1) >= 5);
    Dataset *dataset = dataset_mnist(files.data, true);
    CHECK(failures_of(load_batches, dataset, 1) >= 8);
    dataset_free(dataset);
    files_close(&files);
}

/* ---- The whole program ---- */

/* Runs the program. What it says of a failure, in the last line, becomes the error on record: only the result of a
 * training may come before, whose weights could not be written. */
static bool run_program(char *arguments[])
{
    int kept[2], count = 0;
    while (arguments[count] != NULL) count++;
    char said[PATH_ROOM] = "", out[PATH_ROOM];
    snprintf(out, sizeof out, "%s", test_path("out"));
    const TrainerApp app = {.name = tiny.name, .model = tiny.make, .epochs = 1, .batch_size = BATCH, .lr = 0.01,
                            .schedule = SCHEDULE_ONE_CYCLE, .dropout = 0.1, .augmentation = {.rotation = 10}};
    test_redirect(out, kept);
    int status = trainer_main(count, arguments, &app);
    test_put_back(kept);
    FILE *file = fopen(out, "r");
    size_t length = file ? fread(said, 1, sizeof said - 1, file) : 0;
    if (file) fclose(file);
    const char *end = strchr(said, '\n'), *line = said;
    if (status != 0 && end && strstr(said, "test accuracy") && end < strstr(said, tiny.name)) line = end + 1;
    end = strchr(line, '\n');
    test_check(end && end == said + length - 1, __FILE__, __LINE__, "the program says one line");
    test_check(status >= 0 && status <= 2, __FILE__, __LINE__, "exit status 0, 1, or 2 while options are read");
    return status == 0 || weft_fail("%s", line);
}

/* Trains for an epoch from one file to another. */
static bool train(void *context)
{
    Files *files = context;
    char *arguments[] = {"mnist_tiny", "--data", files->data, "--load", files->weights, "--save", files->trained,
                         "--log", files->log, "--checkpoint", files->checkpoint, "--quiet", NULL};
    return run_program(arguments);
}

static bool report(void *context)
{
    Files *files = context;
    char *arguments[] = {"mnist_tiny", "--data", files->data, "--load", files->weights, "--eval", "--report",
                         files->report, "--quiet", NULL};
    return run_program(arguments);
}

/* Thousands of allocations, of which this takes every 41st: the parts have been tried above. */
TEST(short_memory_in_the_whole_program)
{
    enum { STRIDE = 41 };
    Files files;
    files_open(&files, &tiny);
    CHECK(nn_save(files.model, files.weights));
    CHECK(failures_of(train, &files, sampled(STRIDE)) >= 2000 / sampled(STRIDE));
    files_close(&files);
}

TEST(short_memory_in_a_report)
{
    enum { STRIDE = 3 };
    Files files;
    files_open(&files, &tiny);
    CHECK(nn_save(files.model, files.weights));
    CHECK(failures_of(report, &files, sampled(STRIDE)) >= 150 / sampled(STRIDE));
    files_close(&files);
}

/* ---- Files that promise more than there is ---- */

/* A file of so many bytes that begins with these and has no others: it takes no room on disk. */
static const char *hollow_file(const void *bytes, size_t count, int64_t size)
{
    const char *path = test_path("hollow");
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    bool ok = file >= 0 && write(file, bytes, count) == (ssize_t)count && ftruncate(file, (off_t)size) == 0;
    if (file >= 0) close(file);
    test_check(ok, __FILE__, __LINE__, "a hollow file can be made");
    return path;
}

/* The process may take this much more from here on; a sanitizer's own memory does not fit in. */
static bool limit_memory(int64_t bytes)
{
    struct rlimit limit;
    long long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    bool ok = statm && fscanf(statm, "%lld", &pages) == 1 && getrlimit(RLIMIT_AS, &limit) == 0;
    if (statm) fclose(statm);
    limit.rlim_cur = (rlim_t)(pages * sysconf(_SC_PAGESIZE) + bytes);
    return ok && setrlimit(RLIMIT_AS, &limit) == 0;
}

#ifdef WEFT_NO_POOL
static const bool watched = true;
#else
static const bool watched = false;
#endif

/* Blocks are kept for others of their size: they are given up before there is no room for one of another size. */
TEST(memory_that_is_kept_makes_room)
{
    if (watched) SKIP("a sanitizer takes memory of its own");
    enum { ROOM = 8 << 20, KEPT = 64 << 20, OTHER = 48 << 20 };
    void *block = weft_alloc(KEPT, 1);
    weft_free(block);
    CHECK(block && limit_memory(ROOM));
    block = weft_alloc(OTHER, 1);
    CHECK(block);
    weft_free(block);
}

TEST(absurd_sizes_are_refused_before_they_cost_memory)
{
    if (watched) SKIP("a sanitizer takes memory of its own");
    enum { ROOM = 8 << 20 };
    const int64_t ten_gigabytes = 10000000000;
    static const uint8_t long_header[] = {0x00, 0xe4, 0x0b, 0x54, 0x02, 0, 0, 0, '{'}; /* of 10 GB, which are there */
    static const char large_tensor[] = "\x40\0\0\0\0\0\0\0{\"w\":{\"dtype\":\"U8\",\"shape\":[9999999928],"
                                       "\"data_offsets\":[0,9999999928]}}   ";
    static const uint8_t idx[] = {0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    static const char picture[] = "P5 65536 1525 65535 ";
    Module *module = nn_linear(2, 2);
    CHECK(module && limit_memory(ROOM));
    CHECK(!weft_alloc(2 * ROOM, 1));
    CHECK_ERROR("no room");
    CHECK(!nn_load(module, hollow_file(long_header, sizeof long_header, ten_gigabytes)));
    CHECK_ERROR("its header is to have 10000000000");
    CHECK(!nn_load(module, hollow_file(large_tensor, sizeof large_tensor - 1, ten_gigabytes)));
    CHECK(weft_error() && !strstr(weft_error(), "no room"));
    weft_error_clear();
    CHECK(!dataset_idx(hollow_file(idx, sizeof idx, ten_gigabytes), test_path("hollow"), CLASSES));
    CHECK_ERROR("truncated");
    CHECK(!pgm_read(hollow_file(picture, sizeof picture - 1, sizeof picture - 1)));
    CHECK_ERROR("truncated");
    nn_free(module);
}
