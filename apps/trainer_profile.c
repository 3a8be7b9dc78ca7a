#include "apps/trainer_profile.h"

#include <stdlib.h>
#include <string.h>

#include "apps/trainer_clock.h"
#include "nn/observe.h"
#include "tensor/memory.h"

/* The columns of a line: of the name at least; of all the others; of a name that is cut, those before the cut. */
enum { MIN_NAME = 22, NUMBERS = 57, HEAD = 4, RATE_TEXT = 32 };

/* ---- Rows ---- */

/* The row of that name, a new one if there is none yet. NULL with an error when memory is short. */
static ProfileRow *find_row(Profile *profile, const char *name)
{
    for (int64_t i = 0; i < profile->count; i++) {
        if (strcmp(profile->rows[i].name, name) == 0) return &profile->rows[i];
    }
    if (!weft_grow(&profile->rows, &profile->capacity, profile->count + 1, sizeof *profile->rows)) return NULL;
    ProfileRow *row = &profile->rows[profile->count++];
    *row = (ProfileRow){.calls = 0};
    snprintf(row->name, sizeof row->name, "%s", name);
    return row;
}

/* An op's row is that of its layer; without parameters, that of the shape of one sample's result. */
static ProfileRow *row_of(Profile *profile, const OpCall *call)
{
    char layer[LAYER_TEXT], name[sizeof profile->rows->name];
    nn_layer_name(&profile->parameters, call->inputs, call->input_count, layer);
    size_t used = (size_t)snprintf(name, sizeof name, "%.30s %s", call->op->name, layer);
    const Shape shape = tensor_shape(call->result);
    for (int i = 1; !*layer && i < shape.rank && used < sizeof name; i++)
        used += (size_t)snprintf(name + used, sizeof name - used, i > 1 ? "x%lld" : "%lld", (long long)shape.size[i]);
    return find_row(profile, name);
}

static double total_of(const ProfileRow *row)
{
    return row->forward + row->backward + row->neither;
}

/* ---- Watching ---- */

/* What passed since the latest event; this is one. */
static double lap(Profile *profile)
{
    const double before = profile->last;
    profile->last = trainer_clock();
    return profile->last - before;
}

static double flops_of(const OpCall *call)
{
    return call->op->flops ? call->op->flops(call->inputs, call->attributes) : 0;
}

static bool made(OpObserver *observer, const OpCall *call)
{
    Profile *profile = (Profile *)observer;
    ProfileRow *row = row_of(profile, call);
    if (!row) return false;
    row->forward += lap(profile);
    row->forward_flops += flops_of(call);
    row->calls++;
    return true;
}

static bool went_back(OpObserver *observer, const OpCall *call, const Tensor *grad)
{
    (void)grad;
    Profile *profile = (Profile *)observer;
    ProfileRow *row = row_of(profile, call);
    if (!row) return false;
    row->backward += lap(profile);
    for (int i = 0; i < 2 && i < call->input_count; i++) {
        if (tensor_requires_grad(call->inputs[i])) row->backward_flops += flops_of(call);
    }
    return true;
}

static void marked(OpObserver *observer, const char *what)
{
    Profile *profile = (Profile *)observer;
    ProfileRow *row = find_row(profile, what);
    if (row) row->neither += lap(profile);
}

bool trainer_profile_start(Profile *profile, const Module *module)
{
    profile->base = (OpObserver){made, went_back, marked};
    profile->parameters = nn_named_parameters(module);
    if (profile->parameters.count < 0) return false;
    profile->before = autograd_observe(&profile->base);
    profile->started = profile->last = trainer_clock();
    return true;
}

void trainer_profile_stop(Profile *profile)
{
    autograd_mark("other");
    autograd_observe(profile->before);
    profile->seconds += trainer_clock() - profile->started;
    nn_named_free(&profile->parameters);
}

void trainer_profile_free(Profile *profile)
{
    weft_free(profile->rows);
    *profile = (Profile){.count = 0};
}

/* ---- Printing ---- */

static int by_time(const void *a, const void *b)
{
    const double x = total_of(a), y = total_of(b);
    return x < y ? 1 : x > y ? -1 : 0;
}

/* "123.4", or nothing where there were none. */
static char *rate_text(double flops, double seconds, char text[RATE_TEXT])
{
    text[0] = '\0';
    if (flops > 0 && seconds > 0) snprintf(text, RATE_TEXT, "%.1f", 1e-9 * flops / seconds);
    return text;
}

/* Prints the name in `width` columns and one more; of a longer one the end, which tells layers apart, and the first
 * letters. */
static void print_name(FILE *file, const char *name, int width)
{
    static const char gap[] = "...";
    int length = (int)strlen(name), tail = width - HEAD - (int)strlen(gap);
    if (length <= width) fprintf(file, "%-*s", width + 1, name);
    else fprintf(file, "%.*s%s%s ", HEAD, name, gap, name + length - tail);
}

static void print_row(FILE *file, const ProfileRow *row, int width, double all)
{
    print_name(file, row->name, width);
    if (row->calls > 0) fprintf(file, "%7lld%8.3f%9.3f", (long long)row->calls, row->forward, row->backward);
    else fprintf(file, "%24s", "");
    char forward[RATE_TEXT], backward[RATE_TEXT];
    fprintf(file, "%8.3f%6.1f%%", total_of(row), 100 * total_of(row) / all);
    if (row->forward_flops > 0) {
        fprintf(file, "%8s%9s", rate_text(row->forward_flops, row->forward, forward),
                rate_text(row->backward_flops, row->backward, backward));
    }
    fprintf(file, "\n");
}

static int name_width(const Profile *profile, int columns)
{
    int width = MIN_NAME, most = columns - NUMBERS - 1;
    for (int64_t i = 0; i < profile->count; i++) {
        int length = (int)strlen(profile->rows[i].name);
        if (length > width) width = length;
    }
    return width <= most ? width : most > MIN_NAME ? most : MIN_NAME;
}

void trainer_profile_print(Profile *profile, FILE *file, int columns)
{
    const int width = name_width(profile, columns);
    if (profile->count == 0) {
        fprintf(file, "profile: nothing ran\n");
        return;
    }
    ProfileRow sum = {.name = "total"};
    qsort(profile->rows, (size_t)profile->count, sizeof *profile->rows, by_time);
    char head[64];
    snprintf(head, sizeof head, "profile of %.3f seconds", profile->seconds);
    fprintf(file, "%-*s%8s%9s%8s%7s%17s\n", width + 8, head, "seconds", "seconds", "seconds", "", "GFLOP/s");
    fprintf(file, "%-*s%7s%8s%9s%8s%7s%8s%9s\n", width + 1, "op, layer or shape", "calls", "forward", "backward",
            "in all", "share", "forward", "backward");
    for (int64_t i = 0; i < profile->count; i++) {
        const ProfileRow *row = &profile->rows[i];
        print_row(file, row, width, profile->seconds);
        sum.calls += row->calls;
        sum.forward += row->forward;
        sum.backward += row->backward;
        sum.neither += row->neither;
        sum.forward_flops += row->forward_flops;
        sum.backward_flops += row->backward_flops;
    }
    print_row(file, &sum, width, profile->seconds);
}
