/* Reading the JSON that a safetensors header is made of: strings, whole numbers and punctuation, with whitespace
 * between them. Internal. Every function fails, with an error that says where, rather than read past the end. */
#ifndef WEFT_JSON_H
#define WEFT_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/error.h"

typedef struct Json {
    const char *path; /* of the file, for messages */
    const char *text;
    int64_t at, length;
} Json;

/* Records that something else was expected here; false. */
bool nn_json_fail(const Json *json, const char *expected);
/* Skips whitespace, then takes the character if it is next. */
bool nn_json_accept(Json *json, char c);
/* The same, and an error if it is not. */
bool nn_json_expect(Json *json, char c) WEFT_CHECKED;
/* A string with its escapes resolved, as UTF-8: to be freed with weft_free. NULL with an error if it is malformed, or
 * contains a zero, which C strings cannot hold. */
char *nn_json_string(Json *json);
/* A whole number from 0 to INT64_MAX, without fraction or exponent. */
bool nn_json_integer(Json *json, int64_t *value) WEFT_CHECKED;
/* Whether only whitespace is left. */
bool nn_json_at_end(Json *json);

#endif
