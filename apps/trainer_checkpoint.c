#include "apps/trainer_checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/dataset.h"
#include "tensor/crc.h"
#include "tensor/file.h"
#include "tensor/memory.h"
#include "tensor/text.h"

/* Names in the metadata. */
#define FORMAT "checkpoint"
#define FORMAT_VERSION "1"
#define RUN "run"
#define EPOCH "epoch"
#define STEP "step"
#define METRICS "metrics"
#define VELOCITIES "velocities"
#define DRAWS "draws."
/* The prefix of velocities among the tensors. */
#define MOMENTUM "momentum."

static const double MOST_SAMPLES = 0x1p53; /* up to here a double holds every whole number */

/* ---- What tells this training from others ---- */

static uint64_t checksum_of_images(const Dataset *dataset, int64_t first, int64_t count, uint64_t crc)
{
    int64_t size = dataset->channels * dataset->height * dataset->width;
    crc = weft_crc64(crc, dataset->images + first * size, count * size);
    return weft_crc64(crc, dataset->labels + first, count);
}

static bool note_data(SafetensorsMetadata *training, const TrainerSession *session)
{
    uint64_t crc = checksum_of_images(session->train_set, 0, session->train_count, 0);
    crc = checksum_of_images(session->test_set, session->test_first, session->test_count, crc);
    return safetensors_put_text(training, "the checksum of --data's images", "%016" PRIx64, crc);
}

static bool note_load(SafetensorsMetadata *training, const char *path, int64_t most_bytes)
{
    static const char name[] = "the checksum of --load's file";
    int64_t size;
    if (path == NULL) return safetensors_put_text(training, name, "none");
    void *bytes = weft_file_read_all(path, most_bytes, &size);
    bool ok = bytes && safetensors_put_text(training, name, "%016" PRIx64, weft_crc64(0, bytes, size));
    weft_free(bytes);
    return ok;
}

static bool note_training(SafetensorsMetadata *training, const TrainerSession *session, int64_t most_bytes)
{
    const TrainerOptions *options = &session->options;
    bool ok = safetensors_put_text(training, FORMAT, FORMAT_VERSION) &&
              safetensors_put_text(training, "the version of Weft", WEFT_VERSION) &&
              safetensors_put_text(training, "the program", "%s", session->app->name) &&
              safetensors_put_text(training, "the precision", WEFT_PRECISION);
    char name[OPTION_TEXT], value[OPTION_TEXT];
    for (int i = 0; ok && trainer_options_result(options, &i, name, value);)
        ok = safetensors_put_text(training, name, "%s", value);
    return ok && note_load(training, options->load, most_bytes) && note_data(training, session) &&
           safetensors_put_text(training, "the cycle of momentum", trainer_cycles_momentum(session) ? "on" : "off");
}

/* ---- Writing ---- */

/* The numbers of an epoch, to the last bit. */
static bool put_epoch(Text *text, const EpochMetrics *e)
{
    return weft_text_put(text, "%.17g %.17g %.17g %.17g %" PRId64 " %.17g %.17g %.17g %" PRId64 " ", e->lr,
                         e->train.loss, e->train.accuracy, e->train.seconds, e->train.samples, e->test.loss,
                         e->test.accuracy, e->test.seconds, e->test.samples);
}

static bool put_metrics(SafetensorsMetadata *metadata, const Metrics *past, const Metrics *run)
{
    Text text = {0};
    bool ok = true;
    for (int64_t i = 0; i < past->count && ok; i++) ok = put_epoch(&text, &past->epochs[i]);
    for (int64_t i = 0; i < run->count && ok; i++) ok = put_epoch(&text, &run->epochs[i]);
    ok = ok && safetensors_put_text(metadata, METRICS, "%s", text.bytes);
    weft_text_free(&text);
    return ok;
}

static bool put_draws(SafetensorsMetadata *metadata, Module *model)
{
    NamedModules modules = nn_named_modules(model);
    bool ok = modules.count >= 0;
    for (int64_t i = 0; i < modules.count && ok; i++) {
        const NamedChild *named = &modules.items[i];
        Text name = {0};
        ok = weft_text_put(&name, DRAWS "%s", named->name) &&
             safetensors_put_text(metadata, name.bytes, "%" PRIu32, named->module->draws);
        weft_text_free(&name);
    }
    nn_named_modules_free(&modules);
    return ok;
}

/* Parameters without a gradient have none. */
static int64_t count_velocities(const Optimizer *optimizer)
{
    int64_t count = 0;
    for (int64_t i = 0; i < optimizer_count(optimizer); i++) count += optimizer_velocity(optimizer, i) != NULL;
    return count;
}

static bool put_all(SafetensorsMetadata *metadata, const TrainerRun *run, const TrainerSession *session)
{
    const SafetensorsMetadata *training = &session->checkpoint.training;
    bool ok = true;
    for (int64_t i = 0; i < training->count && ok; i++)
        ok = safetensors_put_text(metadata, training->items[i].name, "%s", training->items[i].text);
    return ok && safetensors_put_text(metadata, RUN, "%" PRId64, session->display.run) &&
           safetensors_put_text(metadata, EPOCH, "%" PRId64, run->metrics.count) &&
           safetensors_put_text(metadata, STEP, "%" PRId64, run->step) &&
           safetensors_put_text(metadata, VELOCITIES, "%" PRId64, count_velocities(run->optimizer)) &&
           put_draws(metadata, run->model) && put_metrics(metadata, &session->past, &run->metrics);
}

/* What a parameter's velocity is called, to be freed. */
static char *velocity_name(const char *parameter)
{
    Text name = {0};
    if (weft_text_put(&name, MOMENTUM "%s", parameter)) return name.bytes;
    weft_text_free(&name);
    return NULL;
}

/* Adds a tensor; consumes the name, which is NULL if memory was short. */
static bool add_tensor(NamedTensors *tensors, char *name, Tensor *tensor)
{
    bool ok = name && tensor && weft_grow(&tensors->items, &tensors->capacity, tensors->count + 1, sizeof(NamedTensor));
    for (int64_t i = 0; i < tensors->count && ok; i++) {
        if (strcmp(tensors->items[i].name, name) == 0)
            ok = weft_fail("a checkpoint has no room for a tensor of the network named \"%s\"", name);
    }
    if (ok) tensors->items[tensors->count++] = (NamedTensor){.name = name, .tensor = tensor};
    else weft_free(name);
    return ok;
}

/* The network's parameters, which come first, in the optimizer's order; its buffers; and velocities. */
static bool collect(NamedTensors *tensors, const TrainerRun *run)
{
    if (!nn_state_collect(run->model, tensors)) return false;
    bool ok = true;
    for (int64_t i = 0; i < optimizer_count(run->optimizer) && ok; i++) {
        Tensor *velocity = optimizer_velocity(run->optimizer, i);
        if (velocity) ok = add_tensor(tensors, velocity_name(tensors->items[i].name), velocity);
    }
    return ok;
}

bool trainer_checkpoint_write(const TrainerRun *run, const TrainerSession *session)
{
    if (session->options.checkpoint == NULL) return true;
    SafetensorsMetadata metadata = {0};
    NamedTensors tensors = {0};
    bool ok = put_all(&metadata, run, session) && collect(&tensors, run) &&
              nn_state_write(session->options.checkpoint, &tensors, &metadata);
    nn_named_free(&tensors);
    safetensors_metadata_free(&metadata);
    return ok;
}

/* ---- Reading: what the file says ---- */

static bool check_training(const Safetensors *file, const SafetensorsMetadata *training)
{
    if (!safetensors_text(&file->metadata, FORMAT))
        return weft_fail("%s: no checkpoint; weights are for --load", file->path);
    if (!file->checksum) return weft_fail("%s: damaged: a checkpoint without its checksum", file->path);
    for (int64_t i = 0; i < training->count; i++) {
        const char *name = training->items[i].name, *mine = training->items[i].text;
        const char *its = safetensors_text(&file->metadata, name);
        char text[SAFETENSORS_NAME_TEXT];
        if (its && strcmp(mine, its) == 0) continue;
        return weft_fail("%s: %s is %s, the checkpoint's training had %s", file->path, name, mine,
                         safetensors_name_text(its ? its : "none", text));
    }
    return true;
}

static bool read_count(const Safetensors *file, const char *name, int64_t low, int64_t high, int64_t *count)
{
    const char *text = safetensors_text(&file->metadata, name);
    char *end = NULL;
    errno = 0;
    *count = text ? strtoll(text, &end, 10) : -1;
    if (text && end != text && *end == '\0' && errno == 0 && *count >= low && *count <= high) return true;
    char shown[SAFETENSORS_NAME_TEXT];
    return weft_fail("%s: \"%s\" is %s, not a number from %lld to %lld", file->path, name,
                     safetensors_name_text(text ? text : "missing", shown), (long long)low, (long long)high);
}

/* Reads a number and goes to the next; a NaN where there is none. */
static double next_number(const char **text)
{
    char *end;
    double number = strtod(*text, &end);
    if (end == *text || *end != ' ') return (double)NAN;
    *text = end + 1;
    return number;
}

static bool read_pass(const char **text, PassMetrics *pass)
{
    pass->loss = next_number(text);
    pass->accuracy = next_number(text);
    pass->seconds = next_number(text);
    double samples = next_number(text);
    bool ok = isfinite(pass->loss) && pass->accuracy >= 0 && pass->accuracy <= 1 && isfinite(pass->seconds) &&
              pass->seconds >= 0 && samples >= 1 && samples <= MOST_SAMPLES;
    if (ok) pass->samples = (int64_t)samples;
    return ok;
}

/* The epochs of the runs before the one that is to go on, and its own. */
static bool read_metrics(const Safetensors *file, Metrics *metrics, int64_t epochs, int64_t count)
{
    const char *text = safetensors_text(&file->metadata, METRICS);
    if (!text) text = "";
    for (int64_t i = 0; i < count; i++) {
        EpochMetrics epoch = {.epoch = i % epochs + 1, .lr = next_number(&text)};
        if (!isfinite(epoch.lr) || !read_pass(&text, &epoch.train) || !read_pass(&text, &epoch.test))
            return weft_fail("%s: the measurements of epoch %lld are malformed", file->path, (long long)i + 1);
        if (!metrics_add(metrics, &epoch)) return false;
    }
    return *text == '\0' || weft_fail("%s: measurements of more than %lld epochs", file->path, (long long)count);
}

static bool read_place(TrainerSession *session)
{
    TrainerCheckpoint *checkpoint = &session->checkpoint;
    const TrainerOptions *options = &session->options;
    int64_t run, epoch;
    if (!read_count(&checkpoint->file, RUN, 1, options->runs, &run) ||
        !read_count(&checkpoint->file, EPOCH, 1, options->epochs, &epoch)) {
        return false;
    }
    session->first_run = run;
    return read_metrics(&checkpoint->file, &session->past, options->epochs, (run - 1) * options->epochs + epoch);
}

/* Finds out how large a checkpoint of the session's network may be, or its weights. */
static bool find_most_bytes(const TrainerSession *session, int64_t *most)
{
    enum { EACH = 2 }; /* a value, and its velocity */
    Module *model = session->app->model(session->options.dropout);
    if (model == NULL) return weft_fail("the network could not be made");
    NamedTensors state;
    bool ok = nn_state_collect(model, &state);
    if (ok) *most = nn_state_most_bytes(EACH * nn_state_values(&state));
    if (ok) nn_named_free(&state);
    nn_free(model);
    return ok;
}

static bool is_done(const Safetensors *file)
{
    int64_t run, runs, epoch, epochs;
    if (!read_count(file, "--runs", 1, INT64_MAX, &runs) || !read_count(file, "--epochs", 1, INT64_MAX, &epochs) ||
        !read_count(file, RUN, 1, runs, &run) || !read_count(file, EPOCH, 1, epochs, &epoch)) {
        return false;
    }
    if (run == runs && epoch == epochs) return true;
    return weft_fail("%s: holds a training that is not done: run %lld of %lld, epoch %lld of %lld; go on with it by "
                     "--resume, or remove the file to begin anew",
                     file->path, (long long)run, (long long)runs, (long long)epoch, (long long)epochs);
}

/* A new training may take the place of one that is done, and of nothing else. */
static bool check_replaceable(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0 || status.st_size == 0) return true;
    Safetensors file;
    if (!safetensors_open_header(&file, path)) return false;
    bool checkpoint = safetensors_text(&file.metadata, FORMAT), done = checkpoint && is_done(&file);
    safetensors_close(&file);
    return done || weft_fail("%s: no checkpoint: --checkpoint does not replace it", path);
}

bool trainer_checkpoint_open(TrainerSession *session)
{
    TrainerCheckpoint *checkpoint = &session->checkpoint;
    const char *path = session->options.checkpoint;
    int64_t most = 0;
    if (path == NULL) return true;
    if (!find_most_bytes(session, &most) || !note_training(&checkpoint->training, session, most)) return false;
    if (!session->options.resume) return check_replaceable(path);
    return safetensors_open(&checkpoint->file, path, most) &&
           check_training(&checkpoint->file, &checkpoint->training) && read_place(session);
}

void trainer_checkpoint_close(TrainerSession *session)
{
    safetensors_metadata_free(&session->checkpoint.training);
    safetensors_close(&session->checkpoint.file);
}

void trainer_checkpoint_explain(const char *path)
{
    enum { REASON = 1024 };
    char reason[REASON];
    snprintf(reason, sizeof reason, "%s", weft_error());
    weft_error_clear();
    Safetensors file;
    bool open = safetensors_open_header(&file, path);
    bool checkpoint = open && safetensors_text(&file.metadata, FORMAT);
    if (open) safetensors_close(&file);
    weft_error_clear();
    if (checkpoint)
        weft_fail("%s is a checkpoint: --checkpoint and --resume go on with it, --load takes weights", path);
    else weft_fail("%s", reason);
}

/* ---- Reading: bringing a run there ---- */

static int64_t count_draws(const SafetensorsMetadata *metadata)
{
    int64_t count = 0;
    for (int64_t i = 0; i < metadata->count; i++)
        count += strncmp(metadata->items[i].name, DRAWS, strlen(DRAWS)) == 0;
    return count;
}

static bool read_draws(const Safetensors *file, Module *model)
{
    NamedModules modules = nn_named_modules(model);
    bool ok = modules.count >= 0;
    int64_t left = count_draws(&file->metadata) - modules.count, draws;
    for (int64_t i = 0; i < modules.count && ok; i++) {
        Text name = {0};
        ok = weft_text_put(&name, DRAWS "%s", modules.items[i].name);
        ok = ok && read_count(file, name.bytes, 0, UINT32_MAX, &draws);
        if (ok) modules.items[i].module->draws = (uint32_t)draws;
        weft_text_free(&name);
    }
    nn_named_modules_free(&modules);
    return ok && (left == 0 || weft_fail("%s: another network: it has %lld more layers", file->path, (long long)left));
}

/* The network's tensors, and new ones in the open scope for the velocities that the file has. */
static bool collect_places(NamedTensors *tensors, const Safetensors *file, const TrainerRun *run)
{
    if (!nn_state_collect(run->model, tensors)) return false;
    bool ok = true;
    for (int64_t i = 0; i < optimizer_count(run->optimizer) && ok; i++) {
        const NamedTensor *parameter = &tensors->items[i];
        char *name = velocity_name(parameter->name);
        if (name && !safetensors_find(file, name)) weft_free(name);
        else ok = add_tensor(tensors, name, tensor_zeros(tensor_shape(parameter->tensor)));
    }
    return ok;
}

static bool set_velocities(Optimizer *optimizer, const NamedTensors *tensors, int64_t first)
{
    bool ok = true;
    for (int64_t i = 0; first < tensors->count && ok; i++) {
        if (strcmp(tensors->items[first].name + strlen(MOMENTUM), tensors->items[i].name) == 0)
            ok = optimizer_set_velocity(optimizer, i, tensors->items[first++].tensor);
    }
    return ok;
}

/* With momentum there are as many as were written, and one at least; without it there is none. */
static bool check_velocities(const Safetensors *file, int64_t found, const TrainerSession *session)
{
    bool momentum = session->options.momentum != 0 || trainer_cycles_momentum(session);
    int64_t written;
    if (!read_count(file, VELOCITIES, momentum, momentum ? INT64_MAX : 0, &written)) return false;
    return found == written || weft_fail("%s: has the velocities of %lld of this network's parameters, not of %lld",
                                         file->path, (long long)found, (long long)written);
}

static bool read_tensors(const Safetensors *file, const TrainerRun *run, const TrainerSession *session)
{
    NamedTensors tensors = {0}, state = {0};
    Scope scope = scope_open();
    bool ok = nn_state_collect(run->model, &state) && collect_places(&tensors, file, run) &&
              nn_state_read(file, &tensors) && check_velocities(file, tensors.count - state.count, session) &&
              set_velocities(run->optimizer, &tensors, state.count);
    scope_close(scope);
    nn_named_free(&state);
    nn_named_free(&tensors);
    return ok;
}

/* Its epochs are the last of those that the checkpoint has. */
static bool take_metrics(TrainerRun *run, TrainerSession *session)
{
    int64_t before = (session->first_run - 1) * session->options.epochs;
    bool ok = true;
    for (int64_t i = before; i < session->past.count && ok; i++)
        ok = metrics_add(&run->metrics, &session->past.epochs[i]);
    session->past.count = before;
    return ok;
}

static bool read_step(const Safetensors *file, TrainerRun *run)
{
    int64_t batches = loader_batches(run->train), expected = run->metrics.count * batches;
    if (!read_count(file, STEP, 0, INT64_MAX, &run->step)) return false;
    return run->step == expected ||
           weft_fail("%s: \"" STEP "\" is %lld, not %lld: epoch %lld of %lld batches each", file->path,
                     (long long)run->step, (long long)expected, (long long)run->metrics.count, (long long)batches);
}

bool trainer_checkpoint_restore(TrainerRun *run, TrainerSession *session)
{
    const Safetensors *file = &session->checkpoint.file;
    if (file->bytes == NULL) return true;
    bool ok = read_tensors(file, run, session) && read_draws(file, run->model) && take_metrics(run, session) &&
              read_step(file, run);
    if (ok) loader_set_epoch(run->train, run->metrics.count);
    if (ok) {
        session->checkpoint.run = session->first_run;
        session->checkpoint.epoch = run->metrics.count;
    }
    safetensors_close(&session->checkpoint.file);
    return ok;
}
