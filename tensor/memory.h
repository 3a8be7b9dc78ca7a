/* The one allocator. Internal. */
#ifndef WEFT_MEMORY_H
#define WEFT_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 64-byte aligned memory for `count` elements of `size` bytes, not cleared. NULL with an error on overflow or when
 * there is none. weft_free takes NULL. Blocks of tensor size are kept for reuse, so that a steady training step
 * takes no page fault; the pool is off under sanitizers and valgrind. */
void *weft_alloc(int64_t count, size_t size);
void *weft_alloc_zeroed(int64_t count, size_t size);
void weft_free(void *memory);
/* A copy of a string, freed with weft_free. */
char *weft_strdup(const char *text);
/* Grows *items, `capacity` elements of `size` bytes, to hold at least `needed`. False with an error, all unchanged. */
bool weft_grow(void *items, int64_t *capacity, int64_t needed, size_t size);
/* Gives the pool's memory back to the system. */
void weft_pool_trim(void);

/* Makes the k-th allocation from now on fail, once; 0: none. For tests of what happens then. */
void weft_alloc_fail_at(int64_t k);

/* Counters behind weft_counters(): tensor handles and layout conversions. */
void weft_count_tensors(int64_t change);
void weft_count_bytes(int64_t change);
void weft_count_conversion(void);

#endif
