/* The command line: what it asks for, what it prints, and how it ends. */
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <string.h>

#include "apps/trainer_checkpoint.h"
#include "apps/trainer_clock.h"
#include "apps/trainer_predict.h"
#include "apps/trainer_report.h"
#include "apps/trainer_statistics.h"
#include "nn/commas.h"
#include "nn/onnx.h"
#include "nn/state.h"
#include "nn/summary.h"
#include "tensor/file.h"
#include "tensor/text.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/* ---- Ctrl-C: noticed after the step that is under way, so that no file is left half-written ---- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static bool on_step(const PassMetrics *so_far, int64_t step, int64_t steps, void *context)
{
    TrainerSession *session = context;
    trainer_display_step(&session->display, so_far, step, steps);
    return !interrupted;
}

/* ---- What is printed ---- */

/* "epoch 3"; of several runs "run 2, epoch 3". */
static void print_place(FILE *file, const TrainerSession *session, int64_t run, int64_t epoch)
{
    if (session->display.runs > 1) fprintf(file, "run %lld, ", (long long)run);
    fprintf(file, "epoch %lld", (long long)epoch);
}

static void print_start(const TrainerSession *session, const TrainerRun *run)
{
    char parameters[COMMAS_TEXT], train[COMMAS_TEXT], test[COMMAS_TEXT];
    printf("%s: %s parameters, %d thread%s, %s, %s\n", session->app->name,
           commas(nn_parameter_count(run->model), parameters), weft_threads(), plural(weft_threads()), weft_isa(),
           WEFT_PRECISION);
    weft_text_print(stdout, session->options.data);
    printf(": %s image%s to train on, %s %s\n", commas(session->train_count, train), plural(session->train_count),
           commas(session->test_count, test), session->options.validate > 0 ? "held out" : "to test");
    if (session->options.resume) {
        weft_text_print(stdout, session->options.checkpoint);
        printf(": resuming after ");
        print_place(stdout, session, session->first_run, run->metrics.count);
        printf(" of %lld\n", (long long)session->options.epochs);
    }
    fflush(stdout);
}

static void print_result(const TrainerSession *session, const Module *model, const PassMetrics *test, double seconds)
{
    const char *name = trainer_options_test_name(&session->options);
    char parameters[COMMAS_TEXT], correct[COMMAS_TEXT], samples[COMMAS_TEXT];
    printf("%s parameters, %s accuracy %.2f%% (%s of %s), %s loss %.4f, %.1f s\n",
           commas(nn_parameter_count(model), parameters), name, 100 * test->accuracy,
           commas((int64_t)rint(test->accuracy * (double)test->samples), correct),
           commas(test->samples, samples), name, test->loss, seconds);
}

static void print_run(const TrainerSession *session, const TrainerRun *run, double seconds)
{
    const EpochMetrics *last = &run->metrics.epochs[run->metrics.count - 1];
    const char *name = trainer_options_test_name(&session->options);
    if (session->display.runs == 1) {
        print_result(session, run->model, &last->test, seconds);
    } else if (!session->options.quiet) {
        printf("run %lld/%lld  seed %llu  train loss %.4f  %s loss %.4f  %s accuracy %.2f%%  %.1f s\n",
               (long long)session->display.run, (long long)session->display.runs, (unsigned long long)run->seed,
               last->train.loss, name, last->test.loss, name, 100 * last->test.accuracy, seconds);
    }
    fflush(stdout); /* before what may be said on stderr */
}

/* Of several runs. */
static void print_statistics(const TrainerSession *session, double seconds)
{
    const TrainerStatistics s = trainer_statistics(session);
    printf("%lld runs: %s accuracy mean %.3f%%, deviation %.3f%%, minimum %.2f%%, maximum %.2f%%, %.1f s\n",
           (long long)s.runs, trainer_options_test_name(&session->options), 100 * s.mean, 100 * s.deviation,
           100 * s.low, 100 * s.high, seconds);
}

/* Where nobody reads it at a terminal, names are whole. */
static void print_profile(TrainerSession *session)
{
    int columns = session->display.terminal ? trainer_display_columns() : INT_MAX;
    trainer_profile_print(&session->profile, stdout, columns);
}

/* Options that are accepted but change nothing here. */
static void print_remarks(const TrainerSession *session, const Module *model)
{
    const TrainerOptions *options = &session->options;
    if (trainer_options_given(options, "dropout") && !trainer_has_dropout(model)) {
        fprintf(stderr, "%s: remark: --dropout changes nothing: this network has no dropout\n", session->app->name);
    }
    if (options->threads > 1 && !weft_has_openmp()) {
        fprintf(stderr, "%s: remark: --threads changes nothing: this program was built without OpenMP\n",
                session->app->name);
    }
}

/* ---- What the command line asks for ---- */

static bool check_writable(const char *path)
{
    return path == NULL || weft_file_check_writable(path);
}

/* --export, if it is asked for. */
static bool export_network(const TrainerSession *session, Module *model, bool dry_run)
{
    Criterion *criterion = session->app->criterion;
    const bool probabilities = criterion == NULL || criterion == op_nll_loss;
    return session->options.export == NULL ||
           nn_export_onnx(model, SHAPE(1, 1, 28, 28), session->options.export, .input_name = "images",
                          .output_name = probabilities ? "log_probabilities" : "output", .dry_run = dry_run);
}

static bool show_summary(const TrainerSession *session)
{
    Module *model = trainer_model(session, (uint64_t)session->options.seed);
    if (model == NULL) return false;
    print_remarks(session, model);
    bool ok = nn_summary(model, SHAPE(1, 1, 28, 28), stdout);
    nn_free(model);
    return ok;
}

static bool evaluate(TrainerSession *session)
{
    TrainerRun run;
    PassMetrics test = {0};
    bool ok = trainer_run_open(&run, session, (uint64_t)session->options.seed);
    ok = ok && check_writable(session->options.export);
    if (ok) print_remarks(session, run.model);
    ok = ok && trainer_run_test(&run, session, &test) && export_network(session, run.model, false);
    trainer_display_clear(&session->display);
    ok = ok && trainer_report_write(session, &run, &test);
    if (ok) print_result(session, run.model, &test, test.seconds);
    if (ok && session->options.profile) print_profile(session);
    trainer_run_close(&run);
    return ok;
}

static uint64_t seed_of(const TrainerSession *session, int64_t run)
{
    return (uint64_t)session->options.seed + (uint64_t)(run - 1);
}

/* The log's rows of epochs that a checkpoint has; `before`: how many were before them, over all runs. */
static bool put_rows(const TrainerSession *session, Text *rows, const Metrics *metrics, int64_t before)
{
    bool ok = true;
    for (int64_t i = 0; i < metrics->count && ok; i++) {
        int64_t run = (before + i) / session->options.epochs;
        ok = trainer_log_put(&session->log, rows, seed_of(session, run + 1), &metrics->epochs[i]);
    }
    return ok;
}

static bool log_again(TrainerSession *session, const Metrics *own)
{
    Text rows = {0};
    bool ok = put_rows(session, &rows, &session->past, 0) && put_rows(session, &rows, own, session->past.count) &&
              (rows.length == 0 || trainer_log_replace(&session->log, rows.bytes));
    weft_text_free(&rows);
    return ok;
}

/* Before the first run trains, what could fail after it is tried: files have been, what is left is whether the network
 * can be exported. The log is last, so that none is left by a training that does not begin. */
static bool begin(TrainerSession *session, const TrainerRun *run)
{
    const TrainerOptions *options = &session->options;
    print_remarks(session, run->model);
    if (!export_network(session, run->model, true)) return false;
    if (!trainer_log_open(&session->log, options->log, options->runs > 1)) return false;
    if (!options->quiet) print_start(session, run);
    return log_again(session, &run->metrics);
}

static bool report_last(const TrainerSession *session, const TrainerRun *run)
{
    return trainer_report_write(session, run, &run->metrics.epochs[run->metrics.count - 1].test);
}

/* One of the runs, and what it prints and leaves: in that order, as a file that cannot be written takes no result. */
static bool train_once(TrainerSession *session)
{
    TrainerRun run;
    int64_t number = session->display.run;
    bool first = number == session->first_run;
    double start = trainer_clock();
    bool ok = trainer_run_open(&run, session, seed_of(session, number));
    ok = ok && (!first || (trainer_checkpoint_restore(&run, session) && begin(session, &run)));
    start -= trainer_seconds(&run.metrics);
    ok = ok && trainer_run_train(&run, session);
    trainer_display_clear(&session->display);
    if (ok) print_run(session, &run, trainer_clock() - start);
    if (ok && session->options.save != NULL) ok = nn_save(run.model, session->options.save);
    ok = ok && export_network(session, run.model, false);
    for (int64_t i = 0; i < run.metrics.count && ok; i++) ok = metrics_add(&session->past, &run.metrics.epochs[i]);
    if (ok && number == session->options.runs) ok = report_last(session, &run);
    trainer_run_close(&run);
    return ok;
}

static bool train(TrainerSession *session)
{
    const TrainerOptions *options = &session->options;
    if (!check_writable(options->save) || !check_writable(options->checkpoint) || !check_writable(options->export))
        return false;
    if (!trainer_checkpoint_open(session)) return false;
    double start = trainer_clock() - trainer_seconds(&session->past);
    bool ok = true;
    for (int64_t number = session->first_run; ok && number <= options->runs; number++) {
        session->display.run = number;
        ok = train_once(session);
    }
    if (!trainer_log_close(&session->log)) ok = false;
    if (ok && options->runs > 1) print_statistics(session, trainer_clock() - start);
    if (ok && options->profile) print_profile(session);
    return ok;
}

static bool run_session(TrainerSession *session)
{
    const TrainerOptions *options = &session->options;
    if (weft_isa() == NULL || !weft_set_threads((int)options->threads)) return false;
    if (options->summary) return show_summary(session);
    trainer_display_start(&session->display);
    if (options->predict.count > 0) return trainer_predict(session);
    if (options->report != NULL && (session->report = trainer_report_open(options->report)) == NULL) return false;
    bool ok = trainer_session_load_data(session) && (options->eval ? evaluate(session) : train(session));
    trainer_checkpoint_close(session);
    metrics_free(&session->past);
    trainer_profile_free(&session->profile);
    trainer_session_free_data(session);
    trainer_report_free(session->report);
    return ok;
}

/* ---- How it ends ---- */

static int usage_error(const TrainerApp *app)
{
    fprintf(stderr, "%s: %s; try --help\n", app->name, weft_error());
    weft_error_clear();
    return EXIT_USAGE;
}

/* Says what went wrong, and where in a training it was. */
static int failure(const TrainerSession *session)
{
    const TrainerDisplay *display = &session->display;
    const TrainerCheckpoint *checkpoint = &session->checkpoint;
    const bool done = checkpoint->run == display->runs && checkpoint->epoch == display->epochs;
    if (session->reported) return EXIT_FAILED;
    fprintf(stderr, "%s: ", session->app->name);
    if (display->epoch > 0) {
        print_place(stderr, session, display->run, display->epoch);
        fprintf(stderr, ": ");
    }
    fprintf(stderr, "%s", weft_error() ? weft_error() : "failed");
    if (interrupted && checkpoint->epoch > 0 && !done) {
        fprintf(stderr, "; --resume goes on after ");
        print_place(stderr, session, checkpoint->run, checkpoint->epoch);
    }
    fprintf(stderr, "\n");
    weft_error_clear();
    return interrupted ? EXIT_INTERRUPTED : EXIT_FAILED;
}

/* Runs the session with Ctrl-C caught, unless whoever started the program has it ignored. --predict may wait for its
 * input, and leaves no file: there Ctrl-C ends the program at once. A file over the size limit is from here on a write
 * that fails and says so; standard output, which exit still flushes, may be that file. */
static bool run_interruptible(TrainerSession *session)
{
    struct sigaction before, catch = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    sigemptyset(&catch.sa_mask);
    sigaction(SIGINT, NULL, &before);
    if (before.sa_handler != SIG_IGN && session->options.predict.count == 0) sigaction(SIGINT, &catch, NULL);
#ifdef SIGXFSZ
    signal(SIGXFSZ, SIG_IGN);
#endif
    bool ok = run_session(session);
    sigaction(SIGINT, &before, NULL);
    if (ok && interrupted) return weft_fail("interrupted, when all was done");
    return ok;
}

int trainer_main(int argc, char **argv, const TrainerApp *app)
{
    weft_error_clear();
    interrupted = 0;
    if (app == NULL || app->name == NULL || app->model == NULL) {
        fprintf(stderr, "trainer_main: the app, its name or its model is NULL\n");
        return EXIT_FAILED;
    }
    const TrainerOptions defaults = trainer_options_default(app);
    TrainerSession session = {.app = app, .argc = argc, .argv = argv, .options = defaults, .first_run = 1,
                              .progress = on_step};
    TrainerOptions *options = &session.options;
    if (!trainer_options_check(&defaults)) return failure(&session);
    if (!trainer_options_parse(options, argc, argv)) return usage_error(app);
    session.display = (TrainerDisplay){.runs = options->runs, .epochs = options->epochs, .quiet = options->quiet,
                                       .held_out = options->validate > 0};
    bool ok = true;
    if (options->help) {
        trainer_options_help(stdout, app, &defaults);
    } else if (options->version) {
        printf("%s %s, %s\n", app->name, WEFT_VERSION, WEFT_PRECISION);
    } else {
        ok = run_interruptible(&session);
    }
    if (ok && (fflush(stdout) != 0 || ferror(stdout))) ok = weft_fail("cannot write to standard output");
    return ok ? EXIT_DONE : failure(&session);
}
