#include "tests/fuzz/safetensors_checksum.h"

#include "tests/sessions.h"

enum { SIDE = 4, IMAGES = 12, CLASSES = 2, TRAIN = 8 };

static Module *small_net(double dropout)
{
    return nn_sequential_named({"bn", nn_batch_norm2d(1)}, {"drop", nn_dropout(dropout)}, {"flat", nn_flatten()},
                               {"fc", nn_linear(SIDE * SIDE, CLASSES)}, {"out", nn_log_softmax(1)});
}

static const TrainerApp app = {.name = "fuzz", .model = small_net, .epochs = 3, .batch_size = 4, .lr = 0.1,
                               .momentum = 0.9, .dropout = 0.25};

static TrainerSession session_new(const char *checkpoint, bool resume)
{
    uint8_t images[IMAGES * SIDE * SIDE], labels[IMAGES];
    for (int i = 0; i < IMAGES * SIDE * SIDE; i++) images[i] = (uint8_t)(i * 37);
    for (int i = 0; i < IMAGES; i++) labels[i] = (uint8_t)(i % CLASSES);
    return session_of(&app, dataset_from(images, labels, IMAGES, 1, SIDE, SIDE, CLASSES), TRAIN, checkpoint, resume);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = fuzz_with_checksum(data, size);
    TrainerSession session = session_new(fuzz_file(bytes, size), true);
    TrainerRun run = {0};
    bool ok = trainer_checkpoint_open(&session);
    if (ok) ok = trainer_run_open(&run, &session, 1) && trainer_checkpoint_restore(&run, &session);
    trainer_run_close(&run);
    session_free(&session);
    fuzz_end(ok);
    free(bytes);
    return 0;
}

/* What one epoch of three leaves. */
static void fuzz_seeds(const char *folder)
{
    const char *path = fuzz_seed_path(folder, "checkpoint");
    (void)!remove(path); /* an earlier one is not done, and would not be replaced */
    TrainerSession session = session_new(path, false);
    TrainerRun run = {0};
    bool ok = trainer_checkpoint_open(&session) && trainer_run_open(&run, &session, 1);
    session.options.epochs = 1; /* the schedule is made, and knows of three */
    ok = ok && trainer_run_train(&run, &session);
    if (ok) fuzz_zero_checksum(path);
    trainer_run_close(&run);
    session_free(&session);
}
