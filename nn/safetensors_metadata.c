#include <stdarg.h>
#include <string.h>

#include "nn/safetensors.h"
#include "tensor/memory.h"
#include "tensor/text.h"

bool safetensors_put_text(SafetensorsMetadata *metadata, const char *name, const char *format, ...)
{
    if (!weft_grow(&metadata->items, &metadata->capacity, metadata->count + 1, sizeof *metadata->items)) return false;
    Text text = {0};
    va_list arguments;
    va_start(arguments, format);
    bool ok = weft_text_vput(&text, format, arguments);
    va_end(arguments);
    char *owned = weft_strdup(name);
    metadata->items[metadata->count++] = (SafetensorsText){owned, text.bytes};
    return ok && owned;
}

const char *safetensors_text(const SafetensorsMetadata *metadata, const char *name)
{
    for (int64_t i = 0; i < metadata->count; i++) {
        if (strcmp(metadata->items[i].name, name) == 0) return metadata->items[i].text;
    }
    return NULL;
}

void safetensors_metadata_free(SafetensorsMetadata *metadata)
{
    for (int64_t i = 0; i < metadata->count; i++) {
        weft_free(metadata->items[i].name);
        weft_free(metadata->items[i].text);
    }
    weft_free(metadata->items);
    *metadata = (SafetensorsMetadata){0};
}
