/* The files of a report: when they are written, and from what. */
#include "apps/trainer_report.h"

#include <string.h>

#include "apps/report_page.h"
#include "tensor/file.h"
#include "tensor/memory.h"

enum { CURVES, SAMPLES, PAGE, FILES };

/* What follows the name without its .html, and who writes it. */
static const struct {
    const char *ending;
    void (*write)(FILE *file, const ReportPage *page);
} PARTS[FILES] = {
    [CURVES] = {"-curves.svg", report_curves_svg},
    [SAMPLES] = {"-samples.svg", report_samples_svg},
    [PAGE] = {NULL, report_page},
};

struct TrainerReport {
    char *paths[FILES];
};

/* ---- Names ---- */

/* The page keeps its name; "a/b.html" and "a/b" have "a/b-curves.svg" beside them. */
static char *part_path(const char *path, int part)
{
    if (PARTS[part].ending == NULL) return weft_strdup(path);
    static const char HTML[] = ".html";
    size_t length = strlen(path), html = sizeof HTML - 1;
    if (length > html && strcmp(path + length - html, HTML) == 0 && path[length - html - 1] != '/') length -= html;
    size_t room = length + strlen(PARTS[part].ending) + 1;
    char *result = weft_alloc((int64_t)room, 1);
    if (result != NULL) snprintf(result, room, "%.*s%s", (int)length, path, PARTS[part].ending);
    return result;
}

bool trainer_report_is_file(const char *path, const char *other)
{
    bool same = false;
    for (int part = 0; part < FILES && !same; part++) {
        char *own = part_path(path, part);
        same = own == NULL || weft_file_same(own, other);
        weft_free(own);
    }
    return same;
}

TrainerReport *trainer_report_open(const char *path)
{
    TrainerReport *report = weft_alloc_zeroed(1, sizeof *report);
    bool ok = report != NULL;
    for (int part = PAGE; ok && part >= 0; part--) { /* the page, which the user named, is the first that can fail */
        report->paths[part] = part_path(path, part);
        ok = report->paths[part] != NULL && weft_file_check_writable(report->paths[part]);
    }
    if (ok) return report;
    trainer_report_free(report);
    return NULL;
}

void trainer_report_free(TrainerReport *report)
{
    if (report == NULL) return;
    for (int part = 0; part < FILES; part++) weft_free(report->paths[part]);
    weft_free(report);
}

/* ---- Gathering ---- */

static bool gather(ReportPage *page)
{
    page->parameters = nn_named_parameters(page->run->model);
    Shape image = dataset_image_shape(page->session->test_set);
    Shape input = SHAPE(1, image.size[0], image.size[1], image.size[2]);
    return page->parameters.count >= 0 && nn_summary_rows(&page->layers, page->run->model, input) &&
           report_evaluate(&page->evaluation, page->run->model, page->run->test) &&
           report_sheet_make(&page->sheet, page->session, page->run);
}

static void page_free(ReportPage *page)
{
    report_evaluation_free(&page->evaluation);
    weft_free(page->sheet.pixels);
    nn_named_free(&page->parameters);
    weft_free(page->layers.items);
}

/* ---- Writing ---- */

/* Begins all files before it ends one, so that where one cannot be written, all are as they were. */
static bool write_files(const TrainerReport *report, const ReportPage *page)
{
    FileWriter *writers[FILES] = {NULL};
    bool ok = true;
    for (int part = 0; ok && part < FILES; part++) {
        if (part == CURVES && page->runs == 0) continue;
        writers[part] = weft_file_create(report->paths[part]);
        ok = writers[part] != NULL;
        if (ok) PARTS[part].write(writers[part]->stream, page);
        ok = ok && weft_error() == NULL; /* memory may have been short */
        if (ok && fflush(writers[part]->stream) != 0) {
            ok = weft_file_commit(writers[part]); /* which cannot be, and says why */
            writers[part] = NULL;
        }
    }
    for (int part = 0; part < FILES; part++) {
        if (writers[part] == NULL) continue;
        if (ok) ok = weft_file_commit(writers[part]);
        else weft_file_discard(writers[part]);
    }
    return ok;
}

bool trainer_report_write(const TrainerSession *session, const TrainerRun *run, const PassMetrics *test)
{
    if (session->report == NULL) return true;
    ReportPage page = {.session = session,
                       .run = run,
                       .runs = session->past.count / session->options.epochs,
                       .test = test,
                       .test_name = trainer_options_test_name(&session->options)};
    bool ok = gather(&page) && write_files(session->report, &page);
    page_free(&page);
    return ok;
}
