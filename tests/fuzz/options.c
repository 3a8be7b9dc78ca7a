#include "tests/fuzz/fuzz.h"

#include "apps/trainer_options.h"

enum { MOST_ARGUMENTS = 32, MOST_TEXT = 4096 };

/* An argument a line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const TrainerApp app = {.name = "fuzz", .epochs = 1, .batch_size = 8, .lr = 0.1};
    char text[MOST_TEXT + 1], program[] = "fuzz", *argv[MOST_ARGUMENTS + 1] = {program};
    if (size > MOST_TEXT) return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    int argc = 1;
    for (char *argument = strtok(text, "\n"); argument && argc < MOST_ARGUMENTS; argument = strtok(NULL, "\n"))
        argv[argc++] = argument;
    TrainerOptions options = trainer_options_default(&app);
    bool ok = trainer_options_parse(&options, argc, argv);
    char name[OPTION_TEXT], value[OPTION_TEXT];
    for (int i = 0; ok && trainer_options_result(&options, &i, name, value);)
        if (strlen(name) < 3 || strlen(value) == 0) abort();
    fuzz_end(ok);
    return 0;
}

static void fuzz_seeds(const char *folder)
{
    static const char training[] = "--data\nd\n--epochs=3\n--batch-size\n64\n--lr\n1e-3\n--momentum=.9\n--schedule\n"
                                   "onecycle\n--dropout\n0.1\n--seed\n7\n--runs=2\n--threads\n2\n--quiet\n";
    static const char files[] = "--load\na\n--save\nb\n--log\nc\n--checkpoint\nd\n--resume\n--limit\n5\n--validate=2";
    static const char instead[] = "--load=a\n--predict\nx.pgm\ny.pgm\n--eval\n--summary\n--augment\n1,.5\n"
                                  "--no-augment\n--no-shuffle";
    fuzz_seed(folder, "training", training, sizeof training - 1);
    fuzz_seed(folder, "files", files, sizeof files - 1);
    fuzz_seed(folder, "instead", instead, sizeof instead - 1);
}
