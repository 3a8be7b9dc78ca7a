/* Checkpoints: a training that goes on from one comes to the same bits; no damage and no other training gets past the
 * reader; nothing that fails costs the earlier file. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/dataset.h"
#include "nn/state.h"
#include "tensor/crc.h"
#include "tensor/memory.h"
#include "tests/sessions.h"
#include "tests/test.h"

enum { SIDE = 6, CLASSES = 3, TRAIN = 29, COUNT = 36, EPOCHS = 4 };

/* Random layers fused with a batch norm and alone, a parameter of every kind, buffers. */
static Module *small_net(double dropout)
{
    return nn_sequential_named({"conv", nn_conv2d(1, 2, 3, .relu = true)}, {"bn", nn_batch_norm2d(2)},
                               {"drop", nn_dropout(dropout)}, {"flat", nn_flatten()}, {"late", nn_dropout(dropout)},
                               {"fc", nn_linear(2 * 4 * 4, CLASSES)}, {"out", nn_log_softmax(1)});
}

static Module *wide_net(double dropout)
{
    return nn_sequential_named({"conv", nn_conv2d(1, 3, 3, .relu = true)}, {"bn", nn_batch_norm2d(3)},
                               {"drop", nn_dropout(dropout)}, {"flat", nn_flatten()}, {"late", nn_dropout(dropout)},
                               {"fc", nn_linear(3 * 4 * 4, CLASSES)}, {"out", nn_log_softmax(1)});
}

static Module *sure_net(double dropout)
{
    return nn_sequential_named({"conv", nn_conv2d(1, 2, 3, .relu = true)}, {"bn", nn_batch_norm2d(2)},
                               {"drop", nn_dropout(dropout)}, {"flat", nn_flatten()},
                               {"fc", nn_linear(2 * 4 * 4, CLASSES)}, {"out", nn_log_softmax(1)});
}

static Module *clashing_net(double dropout)
{
    (void)dropout;
    return nn_sequential_named({"flat", nn_flatten()}, {"fc", nn_linear(SIDE * SIDE, CLASSES)},
                               {"momentum", nn_sequential_named({"fc", nn_linear(CLASSES, CLASSES)})},
                               {"out", nn_log_softmax(1)});
}

static const TrainerApp small_app = {.name = "small", .model = small_net, .epochs = EPOCHS, .batch_size = 8, .lr = 0.1,
                                     .momentum = 0.9, .cycle_momentum = true, .schedule = SCHEDULE_ONE_CYCLE,
                                     .weight_decay = 1e-3, .dropout = 0.25, .augmentation = {.rotation = 20}};

static Dataset *images(int change)
{
    uint8_t pixels[COUNT][SIDE * SIDE], labels[COUNT];
    for (int n = 0; n < COUNT; n++) {
        labels[n] = (uint8_t)(n % CLASSES);
        for (int i = 0; i < SIDE * SIDE; i++) pixels[n][i] = (uint8_t)(n * 37 + i * (11 + n % CLASSES) + change);
    }
    return dataset_from(&pixels[0][0], labels, COUNT, 1, SIDE, SIDE, CLASSES);
}

static TrainerSession session_new(const TrainerApp *app, const char *checkpoint, bool resume)
{
    return session_of(app, images(0), TRAIN, checkpoint, resume);
}

/* Opens what there is to go on with, of the first run or another, and trains for so many epochs. */
static bool train(TrainerSession *session, TrainerRun *run, int64_t epochs)
{
    int64_t all = session->options.epochs;
    bool ok = trainer_checkpoint_open(session);
    session->display.run = session->first_run;
    ok = trainer_run_open(run, session, (uint64_t)(session->options.seed + session->first_run - 1)) && ok &&
         trainer_checkpoint_restore(run, session);
    session->options.epochs = run->metrics.count + epochs; /* the schedule is made, and knows of all */
    ok = ok && trainer_run_train(run, session);
    session->options.epochs = all;
    return ok;
}

/* Two runs are at the same place with the same bits. */
static void check_same(const TrainerRun *a, const TrainerRun *b)
{
    NamedTensors x = {0}, y = {0};
    CHECK(nn_state_collect(a->model, &x) && nn_state_collect(b->model, &y));
    CHECK_EQUAL(x.count, y.count);
    for (int64_t i = 0; i < x.count + optimizer_count(a->optimizer); i++) {
        int64_t velocity = i - x.count;
        Tensor *of_a = velocity < 0 ? x.items[i].tensor : optimizer_velocity(a->optimizer, velocity);
        Tensor *of_b = velocity < 0 ? y.items[i].tensor : optimizer_velocity(b->optimizer, velocity);
        Real *values = test_values(of_a), *others = test_values(of_b);
        CHECK((values == NULL) == (others == NULL));
        if (values && others) CHECK_EQUAL_BITS(others, values, tensor_count(of_a));
        free(values);
        free(others);
        if (test_failed()) return;
    }
    CHECK_EQUAL(a->step, b->step);
    CHECK_EQUAL(a->metrics.count, b->metrics.count);
    for (int64_t i = 0; i < a->metrics.count; i++) {
        const EpochMetrics *e = &a->metrics.epochs[i], *f = &b->metrics.epochs[i];
        CHECK(e->epoch == f->epoch && e->lr == f->lr);
        CHECK(e->train.loss == f->train.loss && e->train.accuracy == f->train.accuracy);
        CHECK(e->test.loss == f->test.loss && e->test.accuracy == f->test.accuracy);
        CHECK(e->train.samples == f->train.samples && e->test.samples == f->test.samples);
    }
    nn_named_free(&x);
    nn_named_free(&y);
}

/* ---- Going on ---- */

TEST(checkpoint_goes_on_to_the_same_bits)
{
    TrainerSession whole = session_new(&small_app, NULL, false);
    TrainerRun expected;
    CHECK(train(&whole, &expected, EPOCHS));
    for (int at = 1; at <= EPOCHS; at++) {
        TrainerSession first = session_new(&small_app, test_path("c"), false);
        TrainerRun run;
        CHECK(train(&first, &run, at));
        TrainerSession second = session_new(&small_app, test_path("c"), true);
        TrainerRun resumed;
        CHECK(train(&second, &resumed, 0));
        check_same(&resumed, &run);
        CHECK_EQUAL(second.checkpoint.epoch, at); /* where it can be resumed again */
        for (int i = 0; i < at; i++) { /* what it took, too */
            CHECK(resumed.metrics.epochs[i].train.seconds == run.metrics.epochs[i].train.seconds);
            CHECK(resumed.metrics.epochs[i].test.seconds == run.metrics.epochs[i].test.seconds);
        }
        second.options.epochs = EPOCHS;
        CHECK(trainer_run_train(&resumed, &second));
        check_same(&resumed, &expected);
        if (test_failed()) return;
        trainer_run_close(&run);
        trainer_run_close(&resumed);
        session_free(&first);
        session_free(&second);
    }
    trainer_run_close(&expected);
    session_free(&whole);
}

/* Epochs between two checkpoints of one training, each resumed from the last. */
TEST(checkpoint_goes_on_again_and_again)
{
    TrainerApp app = small_app;
    app.schedule = SCHEDULE_CONSTANT;
    TrainerSession whole = session_new(&app, NULL, false);
    TrainerRun expected, run;
    CHECK(train(&whole, &expected, EPOCHS));
    for (int at = 1; at <= EPOCHS; at++) {
        TrainerSession session = session_new(&app, test_path("c"), at > 1);
        CHECK(train(&session, &run, 1));
        CHECK_EQUAL(run.metrics.count, at);
        if (at == EPOCHS) check_same(&run, &expected);
        trainer_run_close(&run);
        session_free(&session);
    }
    trainer_run_close(&expected);
    session_free(&whole);
}

TEST(checkpoint_without_momentum_has_no_velocities)
{
    TrainerApp app = small_app;
    app.momentum = 0;
    app.cycle_momentum = false;
    TrainerSession first = session_new(&app, test_path("c"), false), second = session_new(&app, test_path("c"), true);
    TrainerRun run, resumed;
    CHECK(train(&first, &run, 2) && train(&second, &resumed, 0));
    CHECK_EQUAL(resumed.metrics.count, 2);
    for (int64_t i = 0; i < optimizer_count(resumed.optimizer); i++) CHECK(!optimizer_velocity(resumed.optimizer, i));
    trainer_run_close(&run);
    trainer_run_close(&resumed);
    session_free(&first);
    session_free(&second);
}

TEST(checkpoint_of_several_runs_has_the_epochs_of_all)
{
    TrainerSession first = session_new(&small_app, test_path("c"), false);
    TrainerSession second = session_new(&small_app, test_path("c"), true);
    TrainerRun run, resumed;
    first.options.runs = second.options.runs = 3;
    first.first_run = 2;
    for (int i = 0; i < EPOCHS; i++) CHECK(metrics_add(&first.past, &(EpochMetrics){.train = {.loss = i, .samples = 1},
                                                                                    .test = {.samples = 1}}));
    CHECK(train(&first, &run, 2));
    CHECK(train(&second, &resumed, 0));
    CHECK_EQUAL(second.first_run, 2);
    CHECK_EQUAL(second.past.count, EPOCHS);
    for (int i = 0; i < EPOCHS; i++) {
        CHECK(second.past.epochs[i].train.loss == i);
        CHECK_EQUAL(second.past.epochs[i].epoch, i + 1);
    }
    check_same(&resumed, &run);
    trainer_run_close(&run);
    trainer_run_close(&resumed);
    session_free(&first);
    session_free(&second);
}

/* ---- What is refused ---- */

/* Writes the checkpoint of a training of one epoch to the file "c", and returns its bytes. */
static TestBytes small_checkpoint(void)
{
    TrainerSession session = session_new(&small_app, test_path("c"), false);
    TrainerRun run;
    TestBytes bytes = {.count = 0};
    if (train(&session, &run, 1)) bytes = test_read(test_path("c"));
    trainer_run_close(&run);
    session_free(&session);
    return bytes;
}

/* Whether a training of these options goes on from the file "c". */
static bool resumes(const TrainerApp *app, const TrainerOptions *options)
{
    TrainerSession session = session_new(app, test_path("c"), true);
    if (options) session.options = *options;
    session.options.checkpoint = test_path("c");
    session.options.resume = true;
    TrainerRun run;
    bool ok = train(&session, &run, 0);
    trainer_run_close(&run);
    session_free(&session);
    return ok;
}

TEST(checkpoint_every_flipped_bit_is_found)
{
    TestBytes whole = small_checkpoint();
    CHECK(whole.count > 2000 && whole.count < TEST_BYTES && resumes(&small_app, NULL));
    test_note("all of %zu bits", 8 * whole.count);
    TrainerSession session = session_new(&small_app, test_path("c"), true);
    int file = open(test_path("c"), O_WRONLY);
    for (size_t bit = 0; bit < 8 * whole.count; bit++) {
        const off_t place = (off_t)(bit / 8);
        const unsigned char flipped = (unsigned char)(whole.at[place] ^ 1u << bit % 8);
        if (bit % 8 == 0 && place > 0) CHECK(pwrite(file, &whole.at[place - 1], 1, place - 1) == 1);
        CHECK(pwrite(file, &flipped, 1, place) == 1);
        bool opened = trainer_checkpoint_open(&session);
        if (opened) printf("bit %zu of byte %zu\n", bit % 8, bit / 8);
        CHECK(!opened);
        weft_error_clear();
        trainer_checkpoint_close(&session);
    }
    close(file);
    session_free(&session);
}

TEST(checkpoint_cut_short_is_found)
{
    TestBytes whole = small_checkpoint();
    TrainerSession session = session_new(&small_app, test_path("c"), true);
    while (whole.count-- > 0) {
        CHECK(truncate(test_path("c"), (off_t)whole.count) == 0);
        CHECK(!trainer_checkpoint_open(&session));
        weft_error_clear();
        trainer_checkpoint_close(&session);
    }
    session_free(&session);
}

/* Changes the text after `key` and gives the file "c" the checksum that it then has. */
static void forge(TestBytes bytes, const char *key, const char *text)
{
    static const char name[] = "\"weft.crc64\":\"";
    char digits[17];
    bytes.at[bytes.count] = '\0';
    char *place = strstr((char *)bytes.at + 8, key), *checksum = strstr((char *)bytes.at + 8, name);
    CHECK(place && checksum);
    memcpy(place + strlen(key), text, strlen(text));
    checksum += strlen(name);
    memset(checksum, '0', 16);
    snprintf(digits, sizeof digits, "%016llx",
             (unsigned long long)weft_crc64(0, bytes.at, (int64_t)bytes.count));
    memcpy(checksum, digits, 16);
    CHECK(test_write(test_path("c"), bytes.at, bytes.count));
}

TEST(checkpoint_that_makes_no_sense_is_refused)
{
    static const struct {
        const char *key, *text, *message;
    } wrong[] = {
        {"\"checkpoint\":\"", "2", "c: checkpoint is 1, the checkpoint's training had 2"},
        {"\"checkpoin", "s", "c: no checkpoint"},
        {"\"the version of Weft\":\"", "9", "the version of Weft is " WEFT_VERSION ", the checkpoint's training had 9"},
        {"\"the precision\":\"", "D", "the precision is " WEFT_PRECISION ", the checkpoint's training had D"},
        {"\"--sche", "s", "--schedule is onecycle, the checkpoint's training had none"},
        {"\"run\":\"", "2", "\"run\" is 2, not a number from 1 to 1"},
        {"\"run\":\"", "0", "\"run\" is 0"},
        {"\"epoch\":\"", "5", "\"epoch\" is 5, not a number from 1 to 4"},
        {"\"epoch\":\"", "2", "the measurements of epoch 2 are malformed"},
        {"\"epoch\":\"", "x", "\"epoch\" is x"},
        {"\"step\":\"", "-", "\"step\" is -"},
        {"\"ste", "q", "\"step\" is missing"},
        {"\"metrics\":\"", "x", "the measurements of epoch 1 are malformed"},
        {"\"metrics\":\"", "nan ", "the measurements of epoch 1 are malformed"},
        {"\"metrics\":\"", "0 0 2 0 1 0 0 0 1 ", "the measurements of epoch 1 are malformed"},
        {"\"metrics\":\"", "0 0 1 0 1 0 0 0 0 ", "the measurements of epoch 1 are malformed"},
        {"\"metrics\":\"", "0 0 1 0 1 0 0 0 1 ", "measurements of more than 1 epochs"},
        {"\"draws.drop\":\"", "x", "\"draws.drop\" is x"},
        {"\"draws.dro", "x", "\"draws.drop\" is missing"},
        {"\"draws.lat", "x", "\"draws.late\" is missing"},
        {"\"step\":\"", "5", "c: \"step\" is 5, not 4: epoch 1 of 4 batches each"},
        {"\"velocities\":\"", "0", "\"velocities\" is 0, not a number from 1 "},
        {"\"velocities\":\"", "7", "has the velocities of 6 of this network's parameters, not of 7"},
        {"\"metrics\":\"", "0 0 1 -1 1 0 0 0 1 ", "the measurements of epoch 1 are malformed"},
        {"\"momentum.conv.weigh", "x", "tensor \"momentum.conv.weighx\", "},
        {"\"bn.running_mea", "x", "has no tensor \"bn.running_mean\""},
    };
    TestBytes whole = small_checkpoint();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        forge(whole, wrong[i].key, wrong[i].text);
        bool resumed = resumes(&small_app, NULL);
        if (resumed) printf("resumed: %s%s\n", wrong[i].key, wrong[i].text);
        CHECK(!resumed);
        CHECK_ERROR(wrong[i].message);
        if (test_failed()) return;
    }
    forge(whole, "\"format\":\"", "pt");
    CHECK(resumes(&small_app, NULL));
    whole.at[strstr((char *)whole.at + 8, "weft.crc64") - (char *)whole.at] = 'W';
    CHECK(test_write(test_path("c"), whole.at, whole.count));
    CHECK(!resumes(&small_app, NULL));
    CHECK_ERROR("c: damaged: a checkpoint without its checksum");
}

/* Sparse files, whose size costs a disk nothing: one whose header is wrong, one whose header is right. */
TEST(checkpoint_that_is_far_too_large_costs_no_memory)
{
    static const char *headers[] = {"{}", "{\"x\":{\"dtype\":\"F32\",\"shape\":[1099511627776],"
                                          "\"data_offsets\":[0,4398046511104]}}"};
    const off_t values = (off_t)1 << 42;
    for (int i = 0; i < 2; i++) {
        const size_t length = strlen(headers[i]);
        unsigned char header[100] = {(unsigned char)length};
        memcpy(header + 8, headers[i], length);
        CHECK(test_write(test_path("c"), header, 8 + length));
        if (truncate(test_path("c"), values + 8 + (off_t)length) != 0) return; /* no file of this disk is that large */
        CHECK(!resumes(&small_app, NULL));
        CHECK_ERROR("c: has 4398046511104 bytes of values, the model takes at most ");
        TrainerSession session = session_new(&small_app, test_path("c"), false);
        session.options.load = session.options.checkpoint;
        CHECK(!trainer_checkpoint_open(&session));
        CHECK_ERROR("c: has 43980465");
        session_free(&session);
    }
}

/* ---- What a new one may replace ---- */

/* Whether a new training may have its checkpoint in the file "c". */
static bool begins(void)
{
    TrainerSession session = session_new(&small_app, test_path("c"), false);
    bool ok = trainer_checkpoint_open(&session);
    session_free(&session);
    return ok;
}

TEST(checkpoint_of_a_training_that_is_not_done_is_not_replaced)
{
    CHECK(begins());
    TestBytes whole = small_checkpoint();
    CHECK(!begins());
    CHECK_ERROR("c: holds a training that is not done: run 1 of 1, epoch 1 of 4; go on with it by --resume, or remove");
    forge(whole, "\"epoch\":\"", "4");
    CHECK(begins());
    forge(whole, "\"--runs\":\"", "2");
    CHECK(!begins());
    CHECK_ERROR("run 1 of 2, epoch 1 of 4");
    forge(test_read(test_path("c")), "\"epoch\":\"", "4");
    CHECK(!begins());
    CHECK_ERROR("run 1 of 2, epoch 4 of 4");
    forge(whole, "\"epoch\":\"", "x");
    CHECK(!begins());
    CHECK_ERROR("\"epoch\" is x, not a number from 1 to 4");
    forge(whole, "\"checkpoin", "s");
    CHECK(!begins());
    CHECK_ERROR("c: no checkpoint: --checkpoint does not replace it");
    CHECK(truncate(test_path("c"), 5) == 0);
    CHECK(!begins());
    CHECK_ERROR("c: no safetensors file: has only 5 bytes");
    CHECK(truncate(test_path("c"), 0) == 0);
    CHECK(begins());
}

TEST(checkpoint_of_another_training_is_refused)
{
    TrainerApp other = small_app;
    const TrainerOptions same = trainer_options_default(&small_app);
    CHECK(small_checkpoint().count > 0);
#define REFUSED(member, value, message)                                                                                \
    do {                                                                                                               \
        TrainerOptions options = same;                                                                                 \
        options.member = (value);                                                                                      \
        CHECK(!resumes(&small_app, &options));                                                                         \
        CHECK_ERROR("c: " message);                                                                                    \
    } while (0)
    REFUSED(limit, 5, "--limit is 5, the checkpoint's training had off");
    REFUSED(validate, 7, "--validate is 7, the checkpoint's training had off");
    REFUSED(no_augment, true, "--no-augment is on, the checkpoint's training had off");
    REFUSED(no_shuffle, true, "--no-shuffle is on, the checkpoint's training had off");
    REFUSED(epochs, 5, "--epochs is 5, the checkpoint's training had 4");
    REFUSED(batch_size, 9, "--batch-size is 9, the checkpoint's training had 8");
    REFUSED(lr, 0.1000000000000001, "--lr is 0.1000000000000001, the checkpoint's training had 0.1");
    REFUSED(momentum, 0.8, "--momentum is 0.8, the checkpoint's training had 0.9");
    REFUSED(weight_decay, 0, "--weight-decay is 0, the checkpoint's training had 0.001");
    REFUSED(dropout, 0.3, "--dropout is 0.3, the checkpoint's training had 0.25");
    REFUSED(label_smoothing, 0.1, "--label-smoothing is 0.1, the checkpoint's training had 0");
    REFUSED(schedule, SCHEDULE_STEP, "--schedule is step, the checkpoint's training had onecycle");
    REFUSED(seed, 2, "--seed is 2, the checkpoint's training had 1");
    REFUSED(runs, 2, "--runs is 2, the checkpoint's training had 1");
    TrainerOptions options = same;
    options.threads = 3;
    options.quiet = true;
    options.save = options.log = "elsewhere";
    CHECK(resumes(&small_app, &options));

    char *argv[] = {(char *)"small", (char *)"--momentum", (char *)"0.9"};
    options = same;
    CHECK(trainer_options_parse(&options, 3, argv));
    CHECK(!resumes(&small_app, &options));
    CHECK_ERROR("c: the cycle of momentum is off, the checkpoint's training had on");
    other.name = "other";
    CHECK(!resumes(&other, NULL));
    CHECK_ERROR("c: the program is other, the checkpoint's training had small");
    other = small_app;
    other.model = wide_net;
    CHECK(!resumes(&other, NULL));
    CHECK_ERROR("tensor \"conv.weight\" is F");
    other.model = sure_net;
    CHECK(!resumes(&other, NULL));
    CHECK_ERROR("another network: it has 1 more layers");
    other = small_app;
    other.augmentation.shear = 1;
    CHECK(!resumes(&other, NULL));
    CHECK_ERROR("c: --augment is 20,0,0,1, the checkpoint's training had 20,0,0,0");
    CHECK(unlink(test_path("c")) == 0);
    CHECK(!resumes(&small_app, NULL));
    CHECK_ERROR("c: cannot open");
}

TEST(checkpoint_of_other_images_is_refused)
{
    CHECK(small_checkpoint().count > 0);
    TrainerSession session = session_new(&small_app, test_path("c"), true);
    session.train_count--;
    CHECK(!trainer_checkpoint_open(&session));
    CHECK_ERROR("the checksum of --data's images is ");
    session_free(&session);
    session = session_new(&small_app, test_path("c"), true);
    trainer_session_free_data(&session);
    session.train_set = session.test_set = images(1);
    CHECK(!trainer_checkpoint_open(&session));
    CHECK_ERROR("the checksum of --data's images is ");
    session_free(&session);
    const int each[] = {0, TRAIN - 1, TRAIN, COUNT - 1}; /* to train on, and to test on */
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        session = session_new(&small_app, test_path("c"), true);
        session.train_set->labels[each[i]] ^= 1;
        CHECK(!trainer_checkpoint_open(&session));
        CHECK_ERROR("the checksum of --data's images is ");
        session_free(&session);
    }
}

static void save_weights(const char *path, uint64_t seed)
{
    nn_seed(seed);
    Module *net = small_net(0);
    CHECK(nn_save(net, path));
    nn_free(net);
}

TEST(checkpoint_of_other_weights_to_begin_with_is_refused)
{
    char *weights = strdup(test_path("w")); /* test_path keeps a path for a few calls */
    CHECK(weights);
    save_weights(weights, 5);
    TrainerSession session = session_new(&small_app, test_path("c"), false);
    session.options.load = weights;
    const TrainerOptions options = session.options;
    TrainerRun run;
    CHECK(train(&session, &run, 1));
    trainer_run_close(&run);
    session_free(&session);
    CHECK(resumes(&small_app, &options));
    CHECK(!resumes(&small_app, NULL));
    CHECK_ERROR("the checksum of --load's file is none, the checkpoint's training had ");
    save_weights(weights, 6);
    CHECK(!resumes(&small_app, &options));
    CHECK_ERROR("the checksum of --load's file is ");
    free(weights);
}

TEST(checkpoint_names_that_clash_are_refused_when_writing)
{
    TrainerApp app = small_app;
    app.model = clashing_net;
    TrainerSession session = session_new(&app, test_path("c"), false);
    TrainerRun run;
    CHECK(!train(&session, &run, 1));
    CHECK_ERROR("no room for a tensor of the network named \"momentum.fc.weight\"");
    CHECK(access(test_path("c"), F_OK) != 0);
    trainer_run_close(&run);
    session_free(&session);
}

/* ---- Faults ---- */

TEST(checkpoint_survives_every_failing_allocation)
{
    TestBytes earlier = small_checkpoint();
    TrainerSession session = session_new(&small_app, test_path("c"), true);
    TrainerRun run;
    CHECK(train(&session, &run, 0));
    int k = 1;
    for (bool written = false; !written; k++) {
        weft_alloc_fail_at(k);
        written = trainer_checkpoint_write(&run, &session);
        weft_alloc_fail_at(0);
        if (!written) CHECK_ERROR("no room");
        TestBytes now = test_read(test_path("c"));
        CHECK(now.count == earlier.count && memcmp(now.at, earlier.at, now.count) == 0);
    }
    CHECK(k > 50);
    k = 1;
    for (bool resumed = false; !resumed; k++) {
        TrainerSession next = session_new(&small_app, test_path("c"), true);
        TrainerRun other = {0};
        weft_alloc_fail_at(k);
        resumed = train(&next, &other, 0);
        weft_alloc_fail_at(0);
        if (resumed) check_same(&other, &run);
        else CHECK_ERROR("no room");
        trainer_run_close(&other);
        session_free(&next);
    }
    CHECK(k > 50);
    trainer_run_close(&run);
    session_free(&session);
}
