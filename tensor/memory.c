#define _DEFAULT_SOURCE /* madvise */
#include "tensor/memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tensor/error.h"
#include "tensor/tensor.h"

/* Blocks carry their size in a header of one cache line, so that what follows is aligned as well. Freed blocks of a
 * page and more are kept in lists by size class, eight classes to a doubling: the sizes of one training step are those
 * of the next, so after the first step every block is found in its list. */
enum {
    ALIGNMENT = 64,
    POOLED_MINIMUM = 4096,
    HUGE_PAGE = 1 << 21,
    HUGE_FROM = HUGE_PAGE / 2, /* smaller blocks would waste most of one */
    CLASSES_PER_DOUBLING = 8,
    CLASS_COUNT = 64 * CLASSES_PER_DOUBLING,
};

typedef struct Block {
    size_t size; /* of what follows the header */
    struct Block *next;
} Block;

static Block *pool[CLASS_COUNT];
static atomic_flag pool_lock = ATOMIC_FLAG_INIT;
static atomic_llong fail_countdown; /* 0: off */
static atomic_llong blocks; /* in use */

static void lock_pool(void)
{
    while (atomic_flag_test_and_set_explicit(&pool_lock, memory_order_acquire)) {}
}

static void unlock_pool(void)
{
    atomic_flag_clear_explicit(&pool_lock, memory_order_release);
}

/* A checker of memory errors can only see into blocks that really are allocated and freed. */
static bool pool_is_on(void)
{
#ifdef WEFT_NO_POOL
    return false;
#else
    static atomic_int known; /* 0: not yet; 1: on; 2: off */
    if (!known) {
        const char *preload = getenv("LD_PRELOAD");
        known = preload && strstr(preload, "vgpreload") ? 2 : 1;
    }
    return known == 1;
#endif
}

/* Memory from the system. Large blocks ask for huge pages: walking through small ones costs a lane layout dearly, where
 * neighbouring elements of a map are a cache line apart. */
static Block *block_new(size_t size)
{
    size_t alignment = size >= HUGE_FROM ? HUGE_PAGE : ALIGNMENT;
    size_t total = (ALIGNMENT + size + alignment - 1) / alignment * alignment;
    Block *block = aligned_alloc(alignment, total);
    if (!block) {
        weft_pool_trim();
        block = aligned_alloc(alignment, total);
    }
#ifdef MADV_HUGEPAGE
    if (block && alignment == HUGE_PAGE) (void)madvise(block, total, MADV_HUGEPAGE); /* a wish: nothing depends on it */
#endif
    return block;
}

/* The class of a size, and the size that blocks of that class have: the size rounded up at its top four bits. */
static int size_class(size_t *size)
{
    int doubling = 63 - __builtin_clzll((unsigned long long)*size);
    size_t step = (size_t)1 << (doubling - 3);
    size_t eighths = (*size + step - 1) / step;
    *size = eighths * step;
    return doubling * CLASSES_PER_DOUBLING + (int)(eighths - CLASSES_PER_DOUBLING);
}

static Block *take_from_pool(int class)
{
    lock_pool();
    Block *block = pool[class];
    if (block) pool[class] = block->next;
    unlock_pool();
    return block;
}

void weft_pool_trim(void)
{
    lock_pool();
    for (int i = 0; i < CLASS_COUNT; i++) {
        for (Block *block = pool[i]; block; block = pool[i]) {
            pool[i] = block->next;
            free(block);
        }
    }
    unlock_pool();
}

void weft_alloc_fail_at(int64_t k)
{
    fail_countdown = k;
}

static bool must_fail(void)
{
    return fail_countdown > 0 && atomic_fetch_sub(&fail_countdown, 1) == 1;
}

void *weft_alloc(int64_t count, size_t size)
{
    if (count < 0 || (size && (uint64_t)count > (SIZE_MAX / 4) / size))
        return weft_fail("memory: %lld elements of %zu bytes are too many", (long long)count, size);
    size_t bytes = (size_t)count * size;
    if (bytes < ALIGNMENT) bytes = ALIGNMENT;
    Block *block = NULL;
    if (must_fail()) return weft_fail("memory: no room for %zu bytes", bytes);
    if (bytes >= POOLED_MINIMUM && pool_is_on()) block = take_from_pool(size_class(&bytes));
    if (!block) block = block_new(bytes);
    if (!block) return weft_fail("memory: no room for %zu bytes", bytes);
    block->size = bytes;
    atomic_fetch_add_explicit(&blocks, 1, memory_order_relaxed);
    return (char *)block + ALIGNMENT;
}

void *weft_alloc_zeroed(int64_t count, size_t size)
{
    void *memory = weft_alloc(count, size);
    if (memory) memset(memory, 0, (size_t)count * size);
    return memory;
}

void weft_free(void *memory)
{
    if (!memory) return;
    Block *block = (Block *)((char *)memory - ALIGNMENT);
    atomic_fetch_sub_explicit(&blocks, 1, memory_order_relaxed);
    if (block->size < POOLED_MINIMUM || !pool_is_on()) {
        free(block);
        return;
    }
    size_t size = block->size;
    int class = size_class(&size);
    lock_pool();
    block->next = pool[class];
    pool[class] = block;
    unlock_pool();
}

char *weft_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = weft_alloc((int64_t)size, 1);
    if (copy) memcpy(copy, text, size);
    return copy;
}

bool weft_grow(void *items, int64_t *capacity, int64_t needed, size_t size)
{
    if (needed <= *capacity) return true;
    int64_t larger = needed < 8 ? 8 : needed > INT64_MAX / 2 ? needed : needed * 2;
    void *old, *grown = weft_alloc(larger, size);
    if (!grown) return false;
    memcpy(&old, items, sizeof old);
    if (old) memcpy(grown, old, (size_t)*capacity * size);
    memcpy(items, &grown, sizeof grown);
    weft_free(old);
    *capacity = larger;
    return true;
}

/* ---- Counters ---- */

static atomic_llong tensors, bytes_in_use, peak, conversions;

void weft_count_tensors(int64_t change)
{
    atomic_fetch_add(&tensors, change);
}

void weft_count_bytes(int64_t change)
{
    long long now = atomic_fetch_add(&bytes_in_use, change) + change, highest = peak;
    while (now > highest && !atomic_compare_exchange_weak(&peak, &highest, now)) {}
}

void weft_count_conversion(void)
{
    atomic_fetch_add(&conversions, 1);
}

WeftCounters weft_counters(void)
{
    return (WeftCounters){.tensors = tensors, .blocks = blocks, .bytes = bytes_in_use, .peak_bytes = peak,
                          .conversions = conversions};
}

void weft_counters_reset_peak(void)
{
    peak = bytes_in_use;
}
