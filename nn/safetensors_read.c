#include <stdlib.h>
#include <string.h>

#include "nn/json.h"
#include "nn/safetensors.h"
#include "tensor/crc.h"
#include "tensor/file.h"
#include "tensor/memory.h"

/* The header's limit is that of the format's own library. */
enum { LENGTH_BYTES = 8, LARGEST_HEADER = 100 * 1000 * 1000 };

char *safetensors_name_text(const char *name, char text[SAFETENSORS_NAME_TEXT])
{
    snprintf(text, SAFETENSORS_NAME_TEXT, "%s", name);
    return text;
}

/* Records what is wrong with an entry; false. */
static bool fail(const Safetensors *file, const SafetensorsEntry *entry, const char *reason)
{
    char name[SAFETENSORS_NAME_TEXT];
    return weft_fail("%s: tensor \"%s\" %s", file->path, safetensors_name_text(entry->name, name), reason);
}

/* ---- The header's grammar ---- */

/* [1, 2, 3]: at most `most` numbers. */
static bool parse_integers(Json *json, int64_t *numbers, int most, int *count)
{
    *count = 0;
    if (!nn_json_expect(json, '[')) return false;
    if (nn_json_accept(json, ']')) return true;
    do {
        if (*count == most) return nn_json_fail(json, "']' (too many numbers)");
        if (!nn_json_integer(json, &numbers[(*count)++])) return false;
    } while (nn_json_accept(json, ','));
    return nn_json_expect(json, ']');
}

static bool parse_dtype(const Safetensors *file, Json *json, SafetensorsEntry *entry)
{
    char *name = nn_json_string(json);
    if (!name) return false;
    entry->dtype = nn_dtype_find(name);
    if (!entry->dtype) {
        char text[SAFETENSORS_NAME_TEXT], reason[SAFETENSORS_NAME_TEXT + 100];
        snprintf(reason, sizeof reason, "has dtype \"%s\", which is none of F64, F32, F16, BF16 and integers",
                 safetensors_name_text(name, text));
        fail(file, entry, reason);
    }
    weft_free(name);
    return entry->dtype != NULL;
}

static bool parse_offsets(Json *json, SafetensorsEntry *entry)
{
    int64_t offsets[2];
    int count;
    if (!parse_integers(json, offsets, 2, &count)) return false;
    if (count != 2) return nn_json_fail(json, "two offsets before this");
    entry->begin = offsets[0];
    entry->end = offsets[1];
    return true;
}

/* {"dtype": "F32", "shape": [10], "data_offsets": [0, 40]}, in any order. */
static bool parse_entry(const Safetensors *file, Json *json, SafetensorsEntry *entry)
{
    enum { DTYPE = 1, SHAPE_FIELD = 2, OFFSETS = 4, ALL = 7 };
    int seen = 0;
    if (!nn_json_expect(json, '{')) return false;
    do {
        char *key = nn_json_string(json);
        if (!key) return false;
        int field = strcmp(key, "dtype") == 0          ? DTYPE
                    : strcmp(key, "shape") == 0        ? SHAPE_FIELD
                    : strcmp(key, "data_offsets") == 0 ? OFFSETS
                                                       : 0;
        weft_free(key);
        if (!field || seen & field) return nn_json_fail(json, "one each of dtype, shape and data_offsets");
        seen |= field;
        if (!nn_json_expect(json, ':')) return false;
        bool ok = field == DTYPE         ? parse_dtype(file, json, entry)
                  : field == SHAPE_FIELD ? parse_integers(json, entry->shape.size, TENSOR_MAX_RANK, &entry->shape.rank)
                                         : parse_offsets(json, entry);
        if (!ok) return false;
    } while (nn_json_accept(json, ','));
    if (!nn_json_expect(json, '}')) return false;
    return seen == ALL || fail(file, entry, "lacks its dtype, shape or data_offsets");
}

/* Notes where the digits of the checksum are, which were just parsed; false with an error if there are not just as many
 * as there should be, none of them escaped. */
static bool find_checksum(Safetensors *file, const Json *json, const char *digits)
{
    const char *end = json->text + json->at - 1; /* the closing quote */
    bool whole = strlen(digits) == SAFETENSORS_DIGITS &&
                 memcmp(end - SAFETENSORS_DIGITS, digits, SAFETENSORS_DIGITS) == 0;
    if (!whole || file->checksum) return nn_json_fail(json, "one checksum of 16 digits before this");
    file->checksum = LENGTH_BYTES + (end - json->text) - SAFETENSORS_DIGITS;
    return true;
}

/* {"format": "pt", ...}: any strings. */
static bool parse_metadata(Safetensors *file, Json *json)
{
    SafetensorsMetadata *metadata = &file->metadata;
    if (!nn_json_expect(json, '{')) return false;
    if (nn_json_accept(json, '}')) return true;
    do {
        if (!weft_grow(&metadata->items, &metadata->capacity, metadata->count + 1, sizeof *metadata->items))
            return false;
        SafetensorsText *added = &metadata->items[metadata->count++];
        *added = (SafetensorsText){.name = nn_json_string(json)};
        if (added->name && nn_json_expect(json, ':')) added->text = nn_json_string(json);
        if (!added->text) return false;
        if (strcmp(added->name, SAFETENSORS_CHECKSUM) == 0 && !find_checksum(file, json, added->text)) return false;
    } while (nn_json_accept(json, ','));
    return nn_json_expect(json, '}');
}

static bool parse_header(Safetensors *file, Json *json)
{
    bool metadata_seen = false;
    if (!nn_json_expect(json, '{')) return false;
    bool empty = nn_json_accept(json, '}');
    while (!empty) {
        char *name = nn_json_string(json);
        bool metadata = name && strcmp(name, SAFETENSORS_METADATA) == 0;
        bool ok = name && nn_json_expect(json, ':');
        if (ok && metadata) {
            ok = !metadata_seen ? parse_metadata(file, json) : nn_json_fail(json, "no second " SAFETENSORS_METADATA);
            metadata_seen = true;
        } else if (ok) {
            ok = weft_grow(&file->entries, &file->capacity, file->count + 1, sizeof(SafetensorsEntry));
        }
        if (!ok || metadata) {
            weft_free(name);
        } else {
            file->entries[file->count] = (SafetensorsEntry){.name = name};
            ok = parse_entry(file, json, &file->entries[file->count++]);
        }
        if (!ok) return false;
        if (!nn_json_accept(json, ',')) break;
    }
    if (!empty && !nn_json_expect(json, '}')) return false;
    return nn_json_at_end(json) || nn_json_fail(json, "the header's end");
}

/* ---- What the header says ---- */

/* Whether the entry has just the bytes that its shape takes. */
static bool check_size(const Safetensors *file, const SafetensorsEntry *entry)
{
    int64_t bytes = entry->dtype->size;
    bool empty = false;
    for (int i = 0; i < entry->shape.rank; i++) empty = empty || entry->shape.size[i] == 0;
    for (int i = 0; i < entry->shape.rank && !empty; i++) {
        if (bytes > INT64_MAX / entry->shape.size[i]) return fail(file, entry, "has a shape that is too large");
        bytes *= entry->shape.size[i];
    }
    if (empty) bytes = 0;
    if (entry->begin <= entry->end && entry->end - entry->begin == bytes) return true;
    char shape[SHAPE_TEXT], reason[SHAPE_TEXT + 160];
    snprintf(reason, sizeof reason, "%s of %s takes %lld bytes, its offsets are %lld to %lld", entry->dtype->name,
             shape_text(entry->shape, shape), (long long)bytes, (long long)entry->begin, (long long)entry->end);
    return fail(file, entry, reason);
}

static int by_place(const void *a, const void *b)
{
    const SafetensorsEntry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const SafetensorsEntry *)a)->name, ((const SafetensorsEntry *)b)->name);
}

/* Leaves the entries sorted by name. */
static bool check_entries(Safetensors *file)
{
    SafetensorsEntry *entries = file->entries;
    int64_t end = 0, size = file->size - file->values;
    for (int64_t i = 0; i < file->count; i++) {
        if (!check_size(file, &entries[i])) return false;
    }
    if (file->count) qsort(entries, (size_t)file->count, sizeof *entries, by_place);
    for (int64_t i = 0; i < file->count; i++) {
        if (entries[i].begin < end) return fail(file, &entries[i], "overlaps another one");
        if (entries[i].begin > end) return fail(file, &entries[i], "comes after bytes that belong to no tensor");
        end = entries[i].end;
        if (end > size) return fail(file, &entries[i], "goes beyond the end of the file");
    }
    if (end != size)
        return weft_fail("%s: ends with %lld bytes that belong to no tensor", file->path, (long long)(size - end));
    if (file->count) qsort(entries, (size_t)file->count, sizeof *entries, by_name);
    for (int64_t i = 1; i < file->count; i++) {
        if (by_name(&entries[i - 1], &entries[i]) == 0) return fail(file, &entries[i], "is there twice");
    }
    return true;
}

/* ---- The file ---- */

static bool check_checksum(const Safetensors *file)
{
    if (!file->checksum) return true;
    const unsigned char *digits = file->bytes + file->checksum, *rest = digits + SAFETENSORS_DIGITS;
    uint64_t crc = weft_crc64(0, file->bytes, file->checksum);
    crc = weft_crc64(crc, SAFETENSORS_NO_DIGITS, SAFETENSORS_DIGITS);
    crc = weft_crc64(crc, rest, file->size - file->checksum - SAFETENSORS_DIGITS);
    char expected[SAFETENSORS_DIGITS + 1];
    snprintf(expected, sizeof expected, "%016llx", (unsigned long long)crc);
    if (memcmp(digits, expected, SAFETENSORS_DIGITS) == 0) return true;
    return weft_fail("%s: damaged: its checksum is %.16s, that of its bytes is %s", file->path, (const char *)digits,
                     expected);
}

/* Reads the bytes before the values, once it is clear that they may be wanted. */
static bool read_header(Safetensors *file, const FileReader *reader, int64_t most_values)
{
    unsigned char prefix[LENGTH_BYTES];
    file->size = reader->size;
    if (file->size < LENGTH_BYTES)
        return weft_fail("%s: no safetensors file: has only %lld bytes", file->path, (long long)file->size);
    if (!weft_file_read(reader, 0, prefix, LENGTH_BYTES)) return false;
    uint64_t length = nn_dtype_get(prefix, LENGTH_BYTES);
    if (length > LARGEST_HEADER || (int64_t)length > file->size - LENGTH_BYTES)
        return weft_fail("%s: no safetensors file, or cut short: has %lld bytes, its header is to have %llu",
                         file->path, (long long)file->size, (unsigned long long)length);
    file->values = LENGTH_BYTES + (int64_t)length;
    if (file->size - file->values > most_values)
        return weft_fail("%s: has %lld bytes of values, the model takes at most %lld", file->path,
                         (long long)(file->size - file->values), (long long)most_values);
    file->bytes = weft_alloc(file->values, 1);
    if (!file->bytes) return false;
    memcpy(file->bytes, prefix, LENGTH_BYTES);
    return weft_file_read(reader, LENGTH_BYTES, file->bytes + LENGTH_BYTES, (int64_t)length);
}

/* Reads the values behind the header that was checked. */
static bool read_rest(Safetensors *file, const FileReader *reader)
{
    unsigned char *bytes = weft_alloc(file->size, 1);
    if (!bytes) return false;
    memcpy(bytes, file->bytes, (size_t)file->values);
    weft_free(file->bytes);
    file->bytes = bytes;
    return weft_file_read(reader, file->values, bytes + file->values, file->size - file->values);
}

/* Everything before the values, and whether it is right. */
static bool open_header(Safetensors *file, const FileReader *reader, int64_t most_values)
{
    if (!read_header(file, reader, most_values)) return false;
    Json json = {.path = file->path, .text = (const char *)file->bytes + LENGTH_BYTES,
                 .length = file->values - LENGTH_BYTES};
    return parse_header(file, &json) && check_entries(file);
}

bool safetensors_open_header(Safetensors *file, const char *path)
{
    *file = (Safetensors){.path = path};
    FileReader reader;
    if (!weft_file_open(&reader, path)) return false;
    bool ok = open_header(file, &reader, INT64_MAX);
    weft_file_close(&reader);
    if (!ok) safetensors_close(file);
    return ok;
}

bool safetensors_open(Safetensors *file, const char *path, int64_t most_values)
{
    *file = (Safetensors){.path = path};
    FileReader reader;
    if (!weft_file_open(&reader, path)) return false;
    bool ok = open_header(file, &reader, most_values) && read_rest(file, &reader) && check_checksum(file);
    weft_file_close(&reader);
    if (!ok) safetensors_close(file);
    return ok;
}

void safetensors_close(Safetensors *file)
{
    for (int64_t i = 0; i < file->count; i++) weft_free(file->entries[i].name);
    weft_free(file->entries);
    safetensors_metadata_free(&file->metadata);
    weft_free(file->bytes);
    *file = (Safetensors){0};
}

SafetensorsEntry *safetensors_find(const Safetensors *file, const char *name)
{
    int64_t low = 0, high = file->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(name, file->entries[middle].name);
        if (order == 0) return &file->entries[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

bool safetensors_read(const Safetensors *file, const SafetensorsEntry *entry, Real *values)
{
    const Dtype *dtype = entry->dtype;
    const unsigned char *bytes = file->bytes + file->values + entry->begin;
    int64_t count = (entry->end - entry->begin) / dtype->size;
    for (int64_t i = 0; i < count; i++) {
        if (nn_dtype_decode(dtype, bytes + i * dtype->size, &values[i])) continue;
        char reason[SAFETENSORS_NAME_TEXT];
        snprintf(reason, sizeof reason, "has %s values that do not fit %s: element %lld", dtype->name, WEFT_PRECISION,
                 (long long)i);
        return fail(file, entry, reason);
    }
    return true;
}
