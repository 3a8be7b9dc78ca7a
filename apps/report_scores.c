/* Tables of what is right and wrong, class by class. */
#include <math.h>

#include "apps/report_page.h"
#include "nn/commas.h"

/* The most mistakes of one kind: the darkest cell. */
static int64_t most_mistaken(const Evaluation *evaluation)
{
    int64_t most = 0;
    for (int label = 0; label < evaluation->classes; label++) {
        for (int predicted = 0; predicted < evaluation->classes; predicted++) {
            int64_t count = evaluation->confusion[label * evaluation->classes + predicted];
            if (label != predicted && count > most) most = count;
        }
    }
    return most;
}

/* Mistakes are coloured by the root of their number, so that few can be seen beside many. */
static void write_cell(FILE *file, int64_t count, bool right, int64_t most)
{
    char text[COMMAS_TEXT];
    if (right) fprintf(file, "<td class=\"right\">%s</td>", commas(count, text));
    else if (count == 0) fprintf(file, "<td class=\"none\">·</td>");
    else fprintf(file, "<td class=\"error\" style=\"--share:%.2f\">%s</td>", sqrt((double)count / (double)most),
                 commas(count, text));
}

void report_confusion(FILE *file, const Evaluation *evaluation)
{
    int64_t most = most_mistaken(evaluation);
    fprintf(file, "<div class=\"scroll\"><table class=\"confusion\">\n<thead><tr><td></td>"
                  "<th colspan=\"%d\">predicted</th></tr>\n<tr><th class=\"side\">label</th>", evaluation->classes);
    for (int i = 0; i < evaluation->classes; i++) fprintf(file, "<th scope=\"col\">%d</th>", i);
    fprintf(file, "</tr></thead>\n<tbody>\n");
    for (int label = 0; label < evaluation->classes; label++) {
        fprintf(file, "<tr><th scope=\"row\">%d</th>", label);
        for (int predicted = 0; predicted < evaluation->classes; predicted++)
            write_cell(file, evaluation->confusion[label * evaluation->classes + predicted], label == predicted, most);
        fprintf(file, "</tr>\n");
    }
    fprintf(file, "</tbody></table></div>\n");
}

static void write_share(FILE *file, double share)
{
    if (isnan(share)) fprintf(file, "<td class=\"none\">–</td>");
    else fprintf(file, "<td>%.2f%%</td>", 100 * share);
}

static void write_score(FILE *file, const char *name, const ClassScore *score)
{
    char labelled[COMMAS_TEXT], wrong[COMMAS_TEXT];
    fprintf(file, "<tr><th scope=\"row\">%s</th><td>%s</td><td>%s</td>", name, commas(score->labelled, labelled),
            commas(score->labelled - score->correct, wrong));
    write_share(file, score->precision);
    write_share(file, score->recall);
    write_share(file, score->f1);
    fprintf(file, "</tr>\n");
}

void report_scores(FILE *file, const Evaluation *evaluation)
{
    fprintf(file, "<div class=\"scroll\"><table class=\"scores\">\n<thead><tr><th scope=\"col\">class</th>"
                  "<th scope=\"col\">images</th><th scope=\"col\">wrong</th><th scope=\"col\">precision</th>"
                  "<th scope=\"col\">recall</th><th scope=\"col\">F1</th></tr></thead>\n<tbody>\n");
    for (int i = 0; i < evaluation->classes; i++) {
        char name[COMMAS_TEXT];
        snprintf(name, sizeof name, "%d", i);
        ClassScore score = report_class_score(evaluation, i);
        write_score(file, name, &score);
    }
    ClassScore mean = report_mean_score(evaluation);
    fprintf(file, "</tbody>\n<tfoot>\n");
    write_score(file, "mean", &mean);
    fprintf(file, "</tfoot></table></div>\n");
}
