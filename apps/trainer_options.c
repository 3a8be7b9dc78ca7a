/* The options of the command line: one table that parsing, ranges and --help follow. */
#include "apps/trainer_options.h"

#include <errno.h>
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "apps/trainer_report.h"
#include "data/dataset.h"
#include "tensor/file.h"

typedef enum ValueKind {
    VALUE_NONE,
    VALUE_COUNT,
    VALUE_NUMBER,
    VALUE_TEXT,
    VALUE_INPUT, /* the name of a file that is read, and of one that is written */
    VALUE_OUTPUT,
    VALUE_LIST, /* all arguments up to the next option */
    VALUE_SCHEDULE,
    VALUE_AUGMENTATION /* up to four numbers with commas between; what is left out is 0 */
} ValueKind;

/* What a program is asked to do: to train or, instead, one of the others. */
enum {
    TRAINING = 1,
    EVALUATION = 2,
    SUMMARY = 4,
    PREDICTION = 8,
    TESTING = TRAINING | EVALUATION,
    ANY = TESTING | SUMMARY | PREDICTION,
    /* No task: what a training comes to depends on it. */
    KEPT = 16,
    RESULT = ANY | KEPT
};

typedef struct Option {
    const char *group;  /* what help writes before the first option of a group */
    const char *name;
    const char *value;  /* what help calls its value */
    ValueKind kind;
    uint32_t offset;    /* in TrainerOptions */
    double low, high;   /* a count is in [low, high], a number in [low, high) */
    const char *help;   /* NULL: it shares the line of the next option, whose help is of both */
    int tasks;          /* that it goes with, and KEPT */
} Option;

#define MAX_COUNT 1e9
#define MAX_SEED 9007199254740991.0 /* 2^53 - 1: no number above it is read, as a double, as one that is not */
enum { HELP_TEXT = 2 * OPTION_TEXT };
#define IN(member) offsetof(TrainerOptions, member)

/* A help text makes a line of --help, which must fit a screen: 24 lines of 80 columns with the name, the usage and the
 * next prompt. */
static const Option OPTIONS[] = {
    {"Data", "data", "DIR", VALUE_TEXT, IN(data), 0, 0, "folder of the MNIST files", ANY},
    {"", "limit", "N", VALUE_COUNT, IN(limit), 1, MAX_COUNT, NULL, RESULT},
    {"", "validate", "N", VALUE_COUNT, IN(validate), 1, MAX_COUNT, "train on the first N; test on the last N", RESULT},
    {"", "augment", "R,T,S,H", VALUE_AUGMENTATION, IN(augment), 0, 0, "turn, shift, scale, shear", RESULT},
    {"", "no-augment", NULL, VALUE_NONE, IN(no_augment), 0, 0, NULL, RESULT},
    {"", "no-shuffle", NULL, VALUE_NONE, IN(no_shuffle), 0, 0, "images as they are; in the file's order", RESULT},
    {"Training", "epochs", "N", VALUE_COUNT, IN(epochs), 1, 1e6, NULL, RESULT},
    {"", "batch-size", "N", VALUE_COUNT, IN(batch_size), 1, 65536, "passes; images in a step", RESULT},
    {"", "schedule", "NAME", VALUE_SCHEDULE, IN(schedule), 0, 0, "constant, step or onecycle", RESULT},
    {"", "lr", "X", VALUE_NUMBER, IN(lr), 0, 1000, "learning rate; onecycle's peak", RESULT},
    {"", "momentum", "X", VALUE_NUMBER, IN(momentum), 0, 1, "if given, onecycle leaves it alone", RESULT},
    {"", "weight-decay", "X", VALUE_NUMBER, IN(weight_decay), 0, 1000, "L2 penalty", RESULT},
    {"", "dropout", "P", VALUE_NUMBER, IN(dropout), 0, 1, "probability, if there is dropout", RESULT},
    {"", "label-smoothing", "X", VALUE_NUMBER, IN(label_smoothing), 0, 1, "share of all classes in a label", RESULT},
    {"Runs", "seed", "N", VALUE_COUNT, IN(seed), 0, MAX_SEED, NULL, RESULT},
    {"", "runs", "N", VALUE_COUNT, IN(runs), 1, 1e6, "of what is random; seeds in a row", TRAINING | KEPT},
    {"", "threads", "N", VALUE_COUNT, IN(threads), 1, 1024, "no result depends on it", ANY},
    {"Files", "load", "FILE", VALUE_INPUT, IN(load), 0, 0, NULL, ANY},
    {"", "save", "FILE", VALUE_OUTPUT, IN(save), 0, 0, "weights to begin with; write at the end", TRAINING},
    {"", "checkpoint", "FILE", VALUE_OUTPUT, IN(checkpoint), 0, 0, NULL, TRAINING},
    {"", "resume", NULL, VALUE_NONE, IN(resume), 0, 0, "keep all, each epoch; go on from there", TRAINING},
    {"", "log", "FILE", VALUE_OUTPUT, IN(log), 0, 0, NULL, TRAINING},
    {"", "report", "FILE", VALUE_OUTPUT, IN(report), 0, 0, "csv, a row an epoch; html page and svgs", TESTING},
    {"", "export", "FILE.onnx", VALUE_OUTPUT, IN(export), 0, 0, "the network at the end, for other engines", TESTING},
    {"Instead", "eval", NULL, VALUE_NONE, IN(eval), 0, 0, NULL, EVALUATION},
    {"", "summary", NULL, VALUE_NONE, IN(summary), 0, 0, "test --load's weights; show the layers", SUMMARY},
    {"", "predict", "IMAGE...", VALUE_LIST, IN(predict), 0, 0, "read PGM digits (-: stdin) by --load", PREDICTION},
    {"Output", "profile", NULL, VALUE_NONE, IN(profile), 0, 0, NULL, TESTING},
    {"", "detect-anomaly", NULL, VALUE_NONE, IN(detect_anomaly), 0, 0, "time of each op; op that made a NaN", TESTING},
    {"", "quiet", NULL, VALUE_NONE, IN(quiet), 0, 0, NULL, ANY},
    {"", "help", NULL, VALUE_NONE, IN(help), 0, 0, NULL, ANY},
    {"", "version", NULL, VALUE_NONE, IN(version), 0, 0, "only the last line; this; the version", ANY},
};
enum { OPTION_COUNT = sizeof OPTIONS / sizeof *OPTIONS };
_Static_assert(OPTION_COUNT <= 64, "TrainerOptions.given has a bit for each option");

static const char *const SCHEDULES[] = {
    [SCHEDULE_CONSTANT] = "constant", [SCHEDULE_STEP] = "step", [SCHEDULE_ONE_CYCLE] = "onecycle"};
enum { SCHEDULE_COUNT = sizeof SCHEDULES / sizeof *SCHEDULES };

TrainerOptions trainer_options_default(const TrainerApp *app)
{
    return (TrainerOptions){.data = app->data ? app->data : "data/mnist",
                            .augment = app->augmentation,
                            .epochs = app->epochs,
                            .batch_size = app->batch_size,
                            .lr = app->lr,
                            .momentum = app->momentum,
                            .weight_decay = app->weight_decay,
                            .schedule = app->schedule,
                            .dropout = app->dropout,
                            .label_smoothing = app->label_smoothing,
                            .seed = 1,
                            .runs = 1,
                            .threads = weft_threads()};
}

static bool in_range(const Option *option, double value)
{
    return value >= option->low && (option->kind == VALUE_COUNT ? value <= option->high : value < option->high);
}

/* Of an option with a default: of others it is 0, whatever their range. */
static bool is_default_in_range(const Option *option, const TrainerOptions *defaults)
{
    const void *member = (const char *)defaults + option->offset;
    switch (option->kind) {
    case VALUE_COUNT: return in_range(option, (double)*(const int64_t *)member);
    case VALUE_NUMBER: return in_range(option, *(const double *)member);
    case VALUE_SCHEDULE: return (unsigned)*(const ScheduleKind *)member < SCHEDULE_COUNT;
    default: return true;
    }
}

bool trainer_options_check(const TrainerOptions *defaults)
{
    for (const Option *option = OPTIONS; option < OPTIONS + OPTION_COUNT; option++) {
        bool none = option->offset == IN(limit) || option->offset == IN(validate);
        if (none || !(option->tasks & KEPT) || is_default_in_range(option, defaults)) continue;
        return weft_fail("the app's default of --%s is out of range", option->name);
    }
    return augment_check(&defaults->augment);
}

/* ---- Parsing ---- */

/* Whether the text is written with these characters only: what strtod reads beyond them (spaces, 0x10, nan) is more
 * likely a mistake than a wish. */
static bool is_written_with(const char *text, const char *characters)
{
    return text[0] != '\0' && text[strspn(text, characters)] == '\0';
}

static bool parse_count(const Option *option, const char *text, int64_t *result)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (!is_written_with(text, "+-0123456789") || *end != '\0' || errno != 0 || !in_range(option, (double)value)) {
        return weft_fail("--%s takes a whole number from %.0f to %.0f, not '%s'", option->name, option->low,
                         option->high, text);
    }
    *result = value;
    return true;
}

static bool parse_number(const Option *option, const char *text, double *result)
{
    char *end;
    double value = strtod(text, &end);
    if (!is_written_with(text, "+-.0123456789eE") || *end != '\0' || !in_range(option, value)) {
        return weft_fail("--%s takes a number from %g to below %g, not '%s'", option->name, option->low, option->high,
                         text);
    }
    *result = value;
    return true;
}

static bool parse_schedule(const Option *option, const char *text, ScheduleKind *result)
{
    for (int kind = 0; kind < SCHEDULE_COUNT; kind++) {
        if (strcmp(text, SCHEDULES[kind]) == 0) {
            *result = (ScheduleKind)kind;
            return true;
        }
    }
    return weft_fail("--%s takes %s, not '%s'", option->name, option->help, text);
}

/* Where the numbers of an augmentation are, in the order of the command line. */
static double *augmentation_part(Augmentation *augmentation, int i)
{
    double *const parts[] = {&augmentation->rotation, &augmentation->translation, &augmentation->scale,
                             &augmentation->shear};
    return parts[i];
}
enum { AUGMENTATION_PARTS = 4 };

static bool parse_augmentation(const Option *option, const char *text, Augmentation *result)
{
    *result = (Augmentation){0};
    const char *at = text;
    for (int i = 0; i < AUGMENTATION_PARTS; i++) {
        char *end;
        const size_t length = strspn(at, "+-.0123456789eE");
        *augmentation_part(result, i) = strtod(at, &end);
        if (length == 0 || end != at + length) break;
        if (*end == '\0') return augment_check(result);
        if (*end != ',') break;
        at = end + 1;
    }
    return weft_fail("--%s takes one to %d numbers with commas between, not '%s'", option->name, AUGMENTATION_PARTS,
                     text);
}

static bool parse_value(const Option *option, const char *text, TrainerOptions *options)
{
    void *member = (char *)options + option->offset;
    switch (option->kind) {
    case VALUE_NONE: return *(bool *)member = true;
    case VALUE_COUNT: return parse_count(option, text, member);
    case VALUE_NUMBER: return parse_number(option, text, member);
    case VALUE_SCHEDULE: return parse_schedule(option, text, member);
    case VALUE_AUGMENTATION: return parse_augmentation(option, text, member);
    case VALUE_TEXT:
    case VALUE_INPUT:
    case VALUE_OUTPUT:
        if (*text == '\0') return weft_fail("--%s takes a %s, not ''", option->name, option->value);
        *(const char **)member = text;
        return true;
    case VALUE_LIST: break;
    }
    return false;
}

/* Takes arguments up to the next option, at least one, and returns how many; 0 with an error. */
static int parse_list(const Option *option, int argc, char **argv, TextList *list)
{
    if (list->count > 0) {
        weft_fail("--%s is given twice", option->name);
        return 0;
    }
    int count = 0;
    while (count < argc && strncmp(argv[count], "--", 2) != 0) {
        if (*argv[count++] != '\0') continue;
        weft_fail("--%s takes %s, not ''", option->name, option->value);
        return 0;
    }
    if (count == 0) weft_fail("--%s takes one or more: --%s %s", option->name, option->name, option->value);
    *list = (TextList){argv, count};
    return count;
}

static const Option *find_option(const char *name, size_t length)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (strlen(OPTIONS[i].name) == length && memcmp(OPTIONS[i].name, name, length) == 0) return &OPTIONS[i];
    }
    return NULL;
}

/* Reads the option at argv[0] and returns how many arguments it took, 0 if it does not stand. */
static int parse_option(TrainerOptions *options, int argc, char **argv)
{
    const char *name = argv[0] + 2, *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const Option *option = find_option(name, length);
    if (option == NULL) {
        weft_fail("unknown option --%.*s", (int)length, name);
        return 0;
    }
    options->given |= UINT64_C(1) << (option - OPTIONS);
    if (option->kind == VALUE_NONE) {
        if (equals) weft_fail("--%s takes no value", option->name);
        return !equals && parse_value(option, NULL, options) ? 1 : 0;
    }
    if (option->kind == VALUE_LIST) {
        if (equals) weft_fail("--%s takes a list: --%s %s", option->name, option->name, option->value);
        int taken = equals ? 0 : parse_list(option, argc - 1, argv + 1, (void *)((char *)options + option->offset));
        return taken > 0 ? 1 + taken : 0;
    }
    if (equals) return parse_value(option, equals + 1, options) ? 1 : 0;
    if (argc < 2 || strncmp(argv[1], "--", 2) == 0) {
        weft_fail("--%s takes a value: --%s %s", option->name, option->name, option->value);
        return 0;
    }
    return parse_value(option, argv[1], options) ? 2 : 0;
}

/* The file that an option names; NULL if it is not given, or names none. */
static const char *path_of(const Option *option, const TrainerOptions *options)
{
    if (option->kind != VALUE_INPUT && option->kind != VALUE_OUTPUT) return NULL;
    return *(const char *const *)((const char *)options + option->offset);
}

/* Whether writing an option's file touches another option's. */
static bool takes_file(const Option *output, const char *path, const char *its)
{
    return output->offset == IN(report) ? trainer_report_is_file(path, its) : weft_file_same(path, its);
}

/* No file is written that another option reads or writes. Weights may take the place of those that were read: by the
 * time they are written, those are in memory. A checkpoint, though, is of a training that began with those. */
static bool check_output(const TrainerOptions *options, const Option *output)
{
    const char *path = path_of(output, options);
    if (path == NULL || output->kind != VALUE_OUTPUT) return true;
    for (const Option *other = OPTIONS; other < OPTIONS + OPTION_COUNT; other++) {
        const char *its = path_of(other, options);
        bool weights = other->offset == IN(load) && output->offset == IN(save) && !options->checkpoint;
        if (other == output || its == NULL || weights || !takes_file(output, path, its)) continue;
        return weft_fail("--%s and --%s name the same file, '%s'", output->name, other->name, its);
    }
    return !dataset_mnist_has(options->data, path) ||
           weft_fail("--%s names a file of the data, '%s'", output->name, path);
}

static bool is_given(const TrainerOptions *options, const Option *option)
{
    return (options->given >> (option - OPTIONS) & 1) != 0;
}

/* The first option that asks for something instead of training; NULL if none does. */
static const Option *instead_of_training(const TrainerOptions *options)
{
    for (const Option *option = OPTIONS; option < OPTIONS + OPTION_COUNT; option++) {
        if (is_given(options, option) && !(option->tasks & TRAINING)) return option;
    }
    return NULL;
}

/* No option is given for what is not done, such as to name a file that is not written. Those of a training's recipe go
 * with everything, even where they do nothing: its command can be given once more with --eval, say. */
static bool check_task(const TrainerOptions *options, const Option *instead)
{
    for (const Option *option = OPTIONS; option < OPTIONS + OPTION_COUNT; option++) {
        if (!is_given(options, option) || (option->tasks & instead->tasks)) continue;
        return weft_fail("--%s and --%s do not go together", instead->name, option->name);
    }
    return true;
}

/* What the options ask for together. */
static bool check_together(const TrainerOptions *options)
{
    const Option *instead = instead_of_training(options);
    if (instead && !check_task(options, instead)) return false;
    if (instead && (instead->tasks & (EVALUATION | PREDICTION)) && !options->load)
        return weft_fail("--%s needs --load FILE: the weights to use", instead->name);
    if (options->profile && options->detect_anomaly)
        return weft_fail("--profile would time the checks of --detect-anomaly: they do not go together");
    if (options->resume && !options->checkpoint)
        return weft_fail("--resume needs --checkpoint FILE: the training to go on with");
    for (const Option *option = OPTIONS; option < OPTIONS + OPTION_COUNT; option++) {
        if (!check_output(options, option)) return false;
    }
    if (options->save && options->runs > 1) return weft_fail("--save writes one file, --runs above 1 trains several");
    if (options->export && options->runs > 1)
        return weft_fail("--export writes one network, --runs above 1 trains several");
    return true;
}

bool trainer_options_parse(TrainerOptions *options, int argc, char **argv)
{
    for (int i = 1, taken; i < argc; i += taken) {
        if (strncmp(argv[i], "--", 2) != 0) return weft_fail("'%s' is not an option", argv[i]);
        taken = parse_option(options, argc - i, argv + i);
        if (taken == 0) return false;
    }
    return options->help || options->version || check_together(options);
}

bool trainer_options_given(const TrainerOptions *options, const char *name)
{
    const Option *option = find_option(name, strlen(name));
    return option != NULL && is_given(options, option);
}

Augmentation trainer_options_augmentation(const TrainerOptions *options)
{
    return options->no_augment ? (Augmentation){0} : options->augment;
}

const char *trainer_options_test_name(const TrainerOptions *options)
{
    return options->validate > 0 ? "held-out" : "test";
}

/* ---- Values as text ---- */

/* As %g writes it, with as many digits more as strtod needs to read the same number. */
static void number_text(double number, char text[OPTION_TEXT])
{
    for (int digits = FLT_DIG; digits <= DBL_DECIMAL_DIG; digits++) {
        snprintf(text, OPTION_TEXT, "%.*g", digits, number);
        if (strtod(text, NULL) == number) return;
    }
}

/* "10,1,0.1,0", which holds four numbers of DBL_DECIMAL_DIG digits at most. */
static void augmentation_text(Augmentation augmentation, char text[OPTION_TEXT])
{
    char number[OPTION_TEXT];
    size_t used = 0;
    for (int i = 0; i < AUGMENTATION_PARTS; i++) {
        number_text(*augmentation_part(&augmentation, i), number);
        used += (size_t)snprintf(text + used, OPTION_TEXT - used, "%s%s", i > 0 ? "," : "", number);
    }
}

/* "0.05", or "" where the option is off, or not given and without a default. */
static char *value_text(const Option *option, const TrainerOptions *options, char text[OPTION_TEXT])
{
    const void *member = (const char *)options + option->offset;
    const char *name = NULL;
    text[0] = '\0';
    switch (option->kind) {
    case VALUE_NONE: name = *(const bool *)member ? "on" : NULL; break;
    case VALUE_COUNT:
        if ((double)*(const int64_t *)member >= option->low)
            snprintf(text, OPTION_TEXT, "%lld", (long long)*(const int64_t *)member);
        break;
    case VALUE_NUMBER: number_text(*(const double *)member, text); break;
    case VALUE_SCHEDULE: name = SCHEDULES[*(const ScheduleKind *)member]; break;
    case VALUE_AUGMENTATION: augmentation_text(*(const Augmentation *)member, text); break;
    case VALUE_TEXT:
    case VALUE_INPUT:
    case VALUE_OUTPUT: name = *(const char *const *)member; break;
    case VALUE_LIST: break;
    }
    if (name) snprintf(text, OPTION_TEXT, "%s", name);
    return text;
}

bool trainer_options_result(const TrainerOptions *options, int *i, char name[OPTION_TEXT], char value[OPTION_TEXT])
{
    while (*i < OPTION_COUNT) {
        const Option *option = &OPTIONS[(*i)++];
        if (!(option->tasks & KEPT)) continue;
        snprintf(name, OPTION_TEXT, "--%s", option->name);
        if (!*value_text(option, options, value)) snprintf(value, OPTION_TEXT, "off");
        return true;
    }
    return false;
}

/* ---- Help ---- */

/* Writes the line of the options up to the next one that has a help text, which is returned. */
static const Option *print_line(FILE *file, const Option *option, const TrainerOptions *defaults)
{
    char names[HELP_TEXT] = "", values[HELP_TEXT] = "", value[OPTION_TEXT];
    const char *group = option->group;
    for (;; option++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "--%s%s%s%s", option->name, option->value ? " " : "",
                 option->value ? option->value : "", option->help ? "" : ", ");
        if (*value_text(option, defaults, value)) {
            used = strlen(values);
            snprintf(values + used, sizeof values - used, "%s%s", used > 0 ? ", " : " [", value);
        }
        if (option->help) break;
    }
    fprintf(file, "%-10s%-28s%s%s%s\n", group, names, option->help, values, *values ? "]" : "");
    return option;
}

void trainer_options_help(FILE *file, const TrainerApp *app, const TrainerOptions *defaults)
{
    fprintf(file, "%s: %s\nusage: %s [OPTION]...    --lr 0.1 or --lr=0.1\n", app->name,
            app->about ? app->about : "trains a network", app->name);
    for (const Option *option = OPTIONS; option < OPTIONS + OPTION_COUNT; option++)
        option = print_line(file, option, defaults);
}
