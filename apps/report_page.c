/* The page: its sections in order. It is well-formed as HTML and as XML. */
#include "apps/report_page.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "apps/report_style.h"
#include "apps/report_text.h"
#include "apps/trainer_statistics.h"
#include "data/dataset.h"
#include "nn/commas.h"

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

enum { TEXT = 64 };

/* ---- The head: what a colleague wants to know first ---- */

__attribute__((format(printf, 3, 4))) static void write_fact(FILE *file, const char *name, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(file, "<div><dt>%s</dt><dd>", name);
    vfprintf(file, format, arguments);
    fprintf(file, "</dd></div>\n");
    va_end(arguments);
}

/* "1 h 02 min", "5 min 03 s", "42.1 s" */
static char *duration_text(double seconds, char text[TEXT])
{
    enum { MINUTE = 60, HOUR = 3600 };
    long whole = lrint(seconds);
    if (whole >= HOUR) snprintf(text, TEXT, "%ld h %02ld min", whole / HOUR, whole % HOUR / MINUTE);
    else if (whole >= MINUTE) snprintf(text, TEXT, "%ld min %02ld s", whole / MINUTE, whole % MINUTE);
    else snprintf(text, TEXT, "%.1f s", seconds);
    return text;
}

const EpochMetrics *report_epochs(const ReportPage *page, int64_t run)
{
    return &page->session->past.epochs[run * page->session->options.epochs];
}

static void write_head(FILE *file, const ReportPage *page)
{
    const TrainerSession *session = page->session;
    fprintf(file, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
                  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>");
    report_escape(file, session->app->name);
    fprintf(file, ": %.2f%% on ", 100 * page->test->accuracy);
    report_escape(file, session->options.data);
    fprintf(file, "</title>\n<style>\n");
    report_style_page(file);
    fprintf(file, "</style>\n</head>\n<body>\n<main>\n<header>\n<h1>");
    report_escape(file, session->app->name);
    fprintf(file, "</h1>\n<p class=\"lead\">");
    if (session->options.eval) {
        fprintf(file, "Tested with the weights of ");
        report_escape(file, session->options.load);
        fprintf(file, " on ");
    } else {
        char count[COMMAS_TEXT];
        fprintf(file, "Trained on %s image%s of ", commas(session->train_count, count),
                plural(session->train_count));
    }
    report_escape(file, session->options.data);
    fprintf(file, "</p>\n");
}

static void write_facts(FILE *file, const ReportPage *page)
{
    char text[COMMAS_TEXT], other[COMMAS_TEXT], name[TEXT], seconds[TEXT];
    const Evaluation *evaluation = &page->evaluation;
    fprintf(file, "<dl class=\"facts\">\n<div class=\"main\"><dt>%s accuracy</dt><dd>%.2f%%</dd></div>\n",
            page->test_name, 100 * page->test->accuracy);
    snprintf(name, sizeof name, "of %s %s image%s wrong", commas(evaluation->count, other), page->test_name,
             plural(evaluation->count));
    write_fact(file, name, "%s", commas(evaluation->count - evaluation->correct, text));
    snprintf(name, sizeof name, "%s loss", page->test_name);
    write_fact(file, name, "%.4f", page->test->loss);
    write_fact(file, "parameters", "%s", commas(nn_parameter_count(page->run->model), text));
    if (page->runs > 0) {
        const Metrics *metrics = &page->run->metrics;
        const PassMetrics *last = &metrics->epochs[metrics->count - 1].train;
        write_fact(file, metrics->count == 1 ? "epoch" : "epochs", "%s", commas(metrics->count, text));
        write_fact(file, "training time", "<time>%s</time>", duration_text(trainer_seconds(metrics), seconds));
        if (last->seconds > 0) /* 0 where the clock is coarse */
            write_fact(file, "images/s in training", "<time>%s</time>", trainer_rate_text(last, text));
    }
    fprintf(file, "</dl>\n</header>\n");
}

/* ---- Training ---- */

/* The best epoch of the last run. */
static void write_best(FILE *file, const ReportPage *page)
{
    const Metrics *metrics = &page->run->metrics;
    const EpochMetrics *loss = metrics->epochs, *accuracy = metrics->epochs;
    for (const EpochMetrics *epoch = metrics->epochs; epoch < metrics->epochs + metrics->count; epoch++) {
        if (epoch->test.loss < loss->test.loss) loss = epoch;
        if (epoch->test.accuracy > accuracy->test.accuracy) accuracy = epoch;
    }
    fprintf(file, "<p class=\"note\">The lowest %s loss was %.4f, after epoch %lld, the highest accuracy %.2f%%, after "
                  "epoch %lld. Losses and errors that spread are on log scales.", page->test_name, loss->test.loss,
            (long long)loss->epoch, 100 * accuracy->test.accuracy, (long long)accuracy->epoch);
    const Augmentation augmentation = trainer_options_augmentation(&page->session->options);
    const bool changed = augment_is_on(&augmentation);
    const bool drops = page->session->options.dropout > 0 && trainer_has_dropout(page->run->model);
    if (changed || drops)
        fprintf(file, " Training is measured while it goes on, %s%s%s.", changed ? "on the images as it sees them" : "",
                changed && drops ? " and " : "", drops ? "with dropout" : "");
    fprintf(file, "</p>\n");
}

static void write_runs(FILE *file, const ReportPage *page)
{
    const TrainerStatistics all = trainer_statistics(page->session);
    fprintf(file, "<div class=\"scroll\"><table class=\"runs\">\n<thead><tr><th>seed</th><th>train loss</th>"
                  "<th>accuracy</th><th>%s loss</th><th>accuracy</th></tr></thead>\n<tbody>\n", page->test_name);
    for (int64_t i = 0; i < page->runs; i++) {
        const EpochMetrics *last = &report_epochs(page, i)[page->session->options.epochs - 1];
        fprintf(file, "<tr><th scope=\"row\">%lld</th>", (long long)(page->session->options.seed + i));
        fprintf(file, "<td>%.4f</td><td>%.2f%%</td><td>%.4f</td><td>%.2f%%</td></tr>\n", last->train.loss,
                100 * last->train.accuracy, last->test.loss, 100 * last->test.accuracy);
    }
    fprintf(file, "</tbody></table></div>\n<p class=\"note\">%lld runs: mean %.3f%%, deviation %.3f%%. What follows "
                  "is of the last run.</p>\n", (long long)all.runs, 100 * all.mean, 100 * all.deviation);
}

static void write_training(FILE *file, const ReportPage *page)
{
    if (page->runs == 0) return;
    fprintf(file, "<section>\n<h2>Training</h2>\n");
    write_best(file, page);
    report_curves(file, page);
    if (page->runs > 1) write_runs(file, page);
    fprintf(file, "</section>\n");
}

/* ---- Results ---- */

static void write_results(FILE *file, const ReportPage *page)
{
    const Evaluation *evaluation = &page->evaluation;
    const int64_t wrong = evaluation->count - evaluation->correct;
    char count[COMMAS_TEXT];
    fprintf(file, "<section class=\"pair\">\n<div>\n<h2>Confusion matrix</h2>\n<p class=\"note\">%s %s image%s; a row "
                  "for each label, a column for each prediction.</p>\n",
            commas(evaluation->count, count), page->test_name, plural(evaluation->count));
    report_confusion(file, evaluation);
    fprintf(file, "</div>\n<div>\n<h2>Classes</h2>\n<p class=\"note\">Precision: of what was read as a class, the "
                  "share that is. Recall: of a class, the share that was read as it.</p>\n");
    report_scores(file, evaluation);
    fprintf(file, "</div>\n</section>\n<section>\n<h2>Surest mistakes</h2>\n");
    if (wrong == 0) {
        fprintf(file, "<p class=\"note\">None: every image was read as what it is.</p>\n</section>\n");
        return;
    }
    fprintf(file, "<p class=\"note\">Of %s mistake%s those in which the network was surest: the label, what was read, "
                  "and the probabilities given to both.</p>\n", commas(wrong, count), plural(wrong));
    report_mistakes(file, page);
    fprintf(file, "</section>\n");
}

/* ---- Data and network ---- */

static void write_samples(FILE *file, const ReportPage *page)
{
    fprintf(file, "<h2>Images</h2>\n<p class=\"note\">The first %s image of each class%s.</p>\n",
            page->run->train ? "training" : page->test_name,
            page->sheet.rows > 1 ? ", and below it what training saw of it in its first epochs" : "");
    report_samples(file, page);
}

static void write_layer(FILE *file, const SummaryRow *layer)
{
    char parameters[COMMAS_TEXT] = "", mult_adds[COMMAS_TEXT] = "";
    if (layer->parameters > 0) commas(layer->parameters, parameters);
    if (layer->mult_adds > 0) commas(layer->mult_adds, mult_adds);
    fprintf(file, "<tr><th scope=\"row\">");
    report_escape(file, layer->name);
    fprintf(file, "</th><td>%s</td><td>%s</td><td>%s</td></tr>\n", layer->shape, parameters, mult_adds);
}

static void write_network(FILE *file, const ReportPage *page)
{
    char parameters[COMMAS_TEXT], mult_adds[COMMAS_TEXT];
    int64_t sum = 0;
    fprintf(file, "<h2>Network</h2>\n<div class=\"scroll\"><table class=\"layers\">\n<thead><tr>"
                  "<th scope=\"col\">layer</th><th scope=\"col\">result</th><th scope=\"col\">parameters</th>"
                  "<th scope=\"col\">mult-adds</th></tr></thead>\n<tbody>\n");
    for (int64_t i = 0; i < page->layers.count; i++) {
        write_layer(file, &page->layers.items[i]);
        sum += page->layers.items[i].mult_adds;
    }
    fprintf(file, "</tbody>\n<tfoot><tr><th scope=\"row\">all, an image</th><td></td><td>%s</td><td>%s</td></tr>"
                  "</tfoot></table></div>\n",
            commas(nn_parameter_count(page->run->model), parameters), commas(sum, mult_adds));
}

/* ---- How to do it again ---- */

static void write_setting(FILE *file, const char *name, const char *value)
{
    fprintf(file, "<div><dt>%s</dt><dd>", name);
    report_escape(file, value);
    fprintf(file, "</dd></div>\n");
}

static void write_machine(FILE *file)
{
    char threads[TEXT];
    struct utsname system;
    write_setting(file, "Weft", WEFT_VERSION ", " WEFT_PRECISION);
    write_setting(file, "compiler", COMPILER);
    write_setting(file, "instruction set", weft_isa());
    snprintf(threads, sizeof threads, "%d%s", weft_threads(), weft_has_openmp() ? "" : ", no OpenMP");
    write_setting(file, "threads", threads);
    if (uname(&system) >= 0) {
        fprintf(file, "<div><dt>system</dt><dd>");
        report_escape(file, system.sysname);
        fputc(' ', file);
        report_escape(file, system.machine);
        fprintf(file, "</dd></div>\n");
    }
}

static void write_origin(FILE *file, const ReportPage *page)
{
    const TrainerSession *session = page->session;
    char name[OPTION_TEXT], value[OPTION_TEXT], date[TEXT] = "";
    time_t now = time(NULL);
    struct tm local;
    if (localtime_r(&now, &local) != NULL) strftime(date, sizeof date, "%Y-%m-%d %H:%M", &local);
    fprintf(file, "<section>\n<h2>How to do it again</h2>\n<pre class=\"command\">");
    report_command(file, session->argc, session->argv);
    fprintf(file, "</pre>\n");
    fprintf(file, "<p class=\"note\">All that the result depends on, given or not. The number of threads "
                  "changes no bit.</p>\n<dl class=\"settings\">\n");
    write_setting(file, "--data", session->options.data);
    if (session->options.load) write_setting(file, "--load", session->options.load);
    for (int i = 0; trainer_options_result(&session->options, &i, name, value);) {
        if (!session->options.eval || strcmp(name, "--validate") == 0) write_setting(file, name, value);
    }
    write_machine(file);
    fprintf(file, "<div><dt>written</dt><dd><time>%s</time></dd></div>\n</dl>\n</section>\n", date);
}

void report_page(FILE *file, const ReportPage *page)
{
    write_head(file, page);
    write_facts(file, page);
    write_training(file, page);
    write_results(file, page);
    fprintf(file, "<section class=\"pair\">\n<div>\n");
    write_samples(file, page);
    report_filters(file, page);
    fprintf(file, "</div>\n<div>\n");
    write_network(file, page);
    fprintf(file, "</div>\n</section>\n");
    write_origin(file, page);
    fprintf(file, "</main>\n</body>\n</html>\n");
}
