/* The tensor: making, reading and writing, scopes and references, errors, counters. */
#include "tensor/tensor.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "autograd/node.h"
#include "autograd/ops.h"
#include "tensor/kernels/kernels.h"
#include "tensor/list.h"
#include "tensor/memory.h"
#include "tensor/parallel.h"
#include "tensor/text.h"
#include "tests/test.h"

/* ---- Making ---- */

TEST(tensor_from_is_row_major)
{
    Real values[24], back[24];
    for (int i = 0; i < 24; i++) values[i] = (Real)i;
    Tensor *t = tensor_from(SHAPE(2, 3, 4), values);
    CHECK(t);
    values[0] = 99; /* copied */
    CHECK_CLOSE(tensor_get(t, AT(0, 0, 0)), 0, 0);
    CHECK_CLOSE(tensor_get(t, AT(1, 2, 3)), 23, 0);
    CHECK_CLOSE(tensor_get(t, AT(1, 0, 2)), 14, 0);
    CHECK_EQUAL(tensor_count(t), 24);
    CHECK_EQUAL(tensor_size(t, -1), 4);
    CHECK_EQUAL(tensor_size(t, 0), 2);
    values[0] = 0;
    CHECK(tensor_read(t, back, 24));
    CHECK_EQUAL_BITS(back, values, 24);
}

TEST(tensor_zeros_and_full)
{
    Tensor *zeros = tensor_zeros(SHAPE(3, 5)), *full = tensor_full(SCALAR, 2.5);
    for (int64_t i = 0; i < 15; i++) CHECK_CLOSE(tensor_get(zeros, AT(i / 5, i % 5)), 0, 0);
    CHECK_CLOSE(tensor_item(full), 2.5, 0);
    CHECK_CLOSE(tensor_get(full, SCALAR), 2.5, 0);
    CHECK_EQUAL(tensor_count(full), 1);
    CHECK_EQUAL(tensor_shape(full).rank, 0);
}

TEST(tensor_random_values_follow_key_and_bounds)
{
    RandomKey key = {.seed = 3, .stream = 4};
    Tensor *u = tensor_uniform(SHAPE(100, 100), -2, 6, key), *again = tensor_uniform(SHAPE(10000), -2, 6, key);
    Real *a = test_values(u), *b = test_values(again);
    CHECK_EQUAL_BITS(a, b, 10000);
    double mean = 0, square = 0;
    for (int i = 0; i < 10000; i++) {
        CHECK(a[i] >= -2 && a[i] <= 6);
        mean += (double)a[i] / 10000;
    }
    CHECK_CLOSE(mean, 2, 0.05);
    free(a);
    free(b);
    Real *normal = test_values(tensor_normal(SHAPE(10000), 5, 3, key));
    CHECK(normal);
    mean = 0;
    for (int i = 0; i < 10000; i++) mean += (double)normal[i] / 10000;
    for (int i = 0; i < 10000; i++) square += pow((double)normal[i] - mean, 2) / 10000;
    CHECK_CLOSE(mean, 5, 0.03);
    CHECK_CLOSE(sqrt(square), 3, 0.03);
    free(normal);
}

TEST(tensor_random_values_are_those_of_their_numbers)
{
    const RandomKey key = {.seed = 3, .stream = 4};
    Tensor *uniform = tensor_uniform(SHAPE(3, 7), -2, 6, key), *normal = tensor_normal(SHAPE(3, 7), 5, 3, key);
    for (int64_t i = 0; i < 21; i++) {
        const Shape at = AT(i / 7, i % 7);
        CHECK_CLOSE(tensor_get(uniform, at), (double)(Real)(-2 + 8 * random_uniform(key, (uint64_t)i)), 0);
        CHECK_CLOSE(tensor_get(normal, at), (double)(Real)(5 + 3 * random_normal(key, (uint64_t)i)), 0);
    }
}

/* Memory that was used before is in it. */
TEST(new_vectors_have_their_padding)
{
    enum { COUNT = 1025, PADDED = 1040, BLOCKS = 8 };
    Real values[COUNT] = {0};
    const Scope scope = scope_open();
    for (int i = 0; i < BLOCKS; i++) tensor_full(SHAPE(PADDED), 7);
    scope_close(scope);
    const Tensor *vectors[] = {tensor_zeros(SHAPE(COUNT)), tensor_from(SHAPE(COUNT), values),
                               tensor_uniform(SHAPE(COUNT), 0, 1, (RandomKey){0}),
                               tensor_normal(SHAPE(COUNT), 0, 1, (RandomKey){0})};
    for (int i = 0; i < 4; i++) CHECK(vectors[i] && layout_spare_is_right(vectors[i]));
}

TEST(tensor_refuses_bad_shapes)
{
    CHECK(!tensor_zeros(SHAPE(2, 0)));
    CHECK_ERROR("[2, 0] is not a shape: up to 6 sizes of at least 1");
    CHECK(!tensor_zeros(SHAPE(-1)));
    CHECK_ERROR("[-1]");
    CHECK(!tensor_zeros(SHAPE(INT64_MAX, 2)));
    CHECK_ERROR("[9223372036854775807, 2] has more elements than can be counted");
    CHECK(!tensor_zeros(SHAPE(INT64_MAX / 64, 4)));
    CHECK_ERROR("");
    CHECK(!tensor_zeros((Shape){.rank = 7}));
    CHECK_ERROR("[0, 0, 0, 0, 0, 0, ...] is not a shape");
    CHECK(!tensor_from(SHAPE(2), NULL));
    CHECK_ERROR("tensor_from");
    CHECK_EQUAL(shape_count(SHAPE(3, 0)), -1);
    CHECK_EQUAL(shape_count(SHAPE(INT64_MAX, INT64_MAX)), -1);
    CHECK_EQUAL(shape_count(SHAPE(1, 2, 3, 4, 5, 6)), 720);
    CHECK_EQUAL(shape_count(SCALAR), 1);
}

TEST(shape_text_and_equal)
{
    char text[SHAPE_TEXT];
    CHECK_TEXT(shape_text(SHAPE(128, 1, 28, 28), text), "[128, 1, 28, 28]");
    CHECK_TEXT(shape_text(SCALAR, text), "[]");
    CHECK(shape_equal(SHAPE(2, 3), SHAPE(2, 3)));
    CHECK(!shape_equal(SHAPE(2, 3), SHAPE(3, 2)));
    CHECK(!shape_equal(SHAPE(2, 3), SHAPE(2, 3, 1)));
}

/* ---- Values ---- */

TEST(tensor_access_out_of_range_is_an_error)
{
    Tensor *t = tensor_zeros(SHAPE(2, 3));
    CHECK(isnan(tensor_get(t, AT(2, 0))));
    CHECK_ERROR("tensor_get: index [2, 0] is outside [2, 3]");
    CHECK(isnan(tensor_get(t, AT(0, -1))));
    CHECK_ERROR("[0, -1]");
    CHECK(isnan(tensor_get(t, AT(1))));
    CHECK_ERROR("[1]");
    CHECK(!tensor_set(t, AT(0, 3), 1));
    CHECK_ERROR("[0, 3]");
    CHECK(isnan(tensor_item(t)));
    CHECK_ERROR("tensor_item");
    Real values[7] = {0};
    CHECK(!tensor_read(t, values, 7));
    CHECK_ERROR("tensor_read: [2, 3] has 6 values, not 7");
    CHECK(!tensor_write(t, values, 5));
    CHECK_ERROR("tensor_write: [2, 3] has 6 values, not 5");
    CHECK_EQUAL(tensor_size(t, 2), -1);
    CHECK_ERROR("dimension 2");
    CHECK_EQUAL(tensor_size(t, -3), -1);
    CHECK_ERROR("tensor_size: [2, 3] has no dimension -3");
    CHECK(!tensor_copy(t, tensor_zeros(SHAPE(3, 2))));
    CHECK_ERROR("tensor_copy: from [3, 2] to [2, 3]");
}

TEST(tensor_values_that_are_not_there)
{
    Tensor *t = tensor_zeros(SHAPE(2, 3)), *none = TENSOR_NONE;
    Real value = 0;
    CHECK(!tensor_read(t, NULL, 6));
    CHECK_ERROR("tensor_read: no tensor or no values");
    CHECK(!tensor_write(t, NULL, 6));
    CHECK_ERROR("tensor_write: no tensor or no values");
    CHECK_EQUAL(tensor_count(none), 0);
    CHECK(!tensor_read(none, &value, 0));
    CHECK_ERROR("tensor_read: no tensor");
    CHECK(!tensor_write(none, &value, 0));
    CHECK_ERROR("tensor_write: no tensor");
    CHECK(!tensor_copy(none, none));
    CHECK_ERROR("tensor_copy: no tensor");
    CHECK(!tensor_detach(none));
    CHECK_ERROR("tensor_detach: no tensor");
    CHECK(!tensor_set_requires_grad(none, true));
    CHECK_ERROR("tensor_set_requires_grad: no tensor");
}

TEST(tensor_functions_take_null)
{
    Real value = 0;
    CHECK_EQUAL(tensor_count(NULL), 0);
    CHECK_EQUAL(tensor_shape(NULL).rank, 0);
    CHECK(isnan(tensor_get(NULL, AT(0))));
    CHECK(isnan(tensor_item(NULL)));
    CHECK(!tensor_read(NULL, &value, 1));
    CHECK(!tensor_write(NULL, &value, 1));
    CHECK(!tensor_set(NULL, AT(0), 1));
    CHECK(!tensor_copy(NULL, NULL));
    CHECK(!tensor_retain(NULL));
    CHECK(!tensor_detach(NULL));
    CHECK(!tensor_grad(NULL));
    CHECK(!tensor_requires_grad(NULL));
    CHECK(!tensor_print(stdout, NULL));
    tensor_release(NULL);
    tensor_clear_grad(NULL);
    tensor_keep_grad(NULL);
    weft_error_clear();
}

TEST(tensor_writes_count_versions_and_are_shared)
{
    Tensor *t = tensor_zeros(SHAPE(2, 2)), *same = tensor_detach(t);
    int64_t version = tensor_version(t);
    CHECK(tensor_set(t, AT(1, 0), 7));
    CHECK_EQUAL(tensor_version(t), version + 1);
    CHECK_EQUAL(tensor_version(same), version + 1);
    CHECK_CLOSE(tensor_get(same, AT(1, 0)), 7, 0);
    CHECK(tensor_write(same, (Real[]){1, 2, 3, 4}, 4));
    CHECK_EQUAL(tensor_version(t), version + 2);
    CHECK_CLOSE(tensor_get(t, AT(1, 1)), 4, 0);
    Tensor *other = tensor_zeros(SHAPE(2, 2));
    CHECK(tensor_copy(other, t));
    CHECK_CLOSE(tensor_get(other, AT(0, 1)), 2, 0);
    CHECK(tensor_set(other, AT(0, 1), 9));
    CHECK_CLOSE(tensor_get(t, AT(0, 1)), 2, 0);
}

/* get, set, read, write, copy and print tell nothing of the layout; spare lanes follow every write. */
static void check_layout_is_invisible(int64_t samples)
{
    const Shape shape = SHAPE(samples, 3, 2);
    Tensor *plain = test_tensor(shape, 1, 1), *lanes = op_to_lanes(plain);
    CHECK(lanes && lanes != plain && layout_is_lanes(lanes) && !layout_is_lanes(plain));
    CHECK(shape_equal(tensor_shape(lanes), shape));
    int64_t count = tensor_count(plain);
    Real *a = test_values(plain), *b = test_values(lanes);
    CHECK_EQUAL_BITS(a, b, count);
    for (int64_t n = 0; n < samples; n++)
        CHECK_CLOSE(tensor_get(lanes, AT(n, 2, 1)), tensor_get(plain, AT(n, 2, 1)), 0);
    Shape last = AT(samples - 1, 1, 0);
    CHECK(tensor_set(lanes, last, 0.5) && tensor_set(plain, last, 0.5));
    CHECK(layout_spare_is_right(lanes));
    CHECK(tensor_read(lanes, b, count) && tensor_read(plain, a, count));
    CHECK_EQUAL_BITS(a, b, count);
    for (int64_t i = 0; i < count; i++) a[i] = (Real)test_number(2, i);
    CHECK(tensor_write(lanes, a, count));
    CHECK(layout_spare_is_right(lanes));
    CHECK(tensor_copy(plain, lanes));
    CHECK(tensor_read(plain, b, count));
    CHECK_EQUAL_BITS(a, b, count);
    Tensor *back = op_to_plain(lanes);
    CHECK(back && !layout_is_lanes(back));
    CHECK(tensor_read(back, b, count));
    CHECK_EQUAL_BITS(a, b, count);
    CHECK(tensor_copy(lanes, test_tensor(shape, 3, 1)));
    CHECK(layout_spare_is_right(lanes));
    free(a);
    free(b);
}

TEST(layout_is_invisible)
{
    static const int64_t batches[] = {1, 2, 15, 16, 17, 32, 33};
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) check_layout_is_invisible(batches[i]);
}

TEST(conversions_are_counted_and_rank_one_needs_none)
{
    Tensor *vector = test_tensor(SHAPE(17), 1, 1), *matrix = test_tensor(SHAPE(17, 2), 1, 1);
    int64_t before = weft_counters().conversions;
    CHECK(op_to_lanes(vector) == vector && op_to_plain(vector) == vector);
    CHECK(op_to_plain(matrix) == matrix);
    CHECK_EQUAL(weft_counters().conversions, before);
    Tensor *lanes = op_to_lanes(matrix);
    CHECK(op_to_lanes(lanes) == lanes);
    CHECK_EQUAL(weft_counters().conversions, before + 1);
    CHECK(op_to_plain(lanes) != lanes);
    CHECK_EQUAL(weft_counters().conversions, before + 2);
    Tensor *sums = op_sum(lanes, .dims = DIM(1));
    CHECK(sums && op_to_plain(sums) == sums && op_to_lanes(sums) == sums);
    CHECK_EQUAL(weft_counters().conversions, before + 2);
}

/* Its spare lanes and padding stay zero, whatever is done to it. */
TEST(a_gradient_stays_one_in_either_layout)
{
    Tensor *matrix = op_to_lanes(test_tensor(SHAPE(5, 3), 1, 1)), *vector = test_tensor(SHAPE(5), 2, 1);
    tensor_set_requires_grad(matrix, true);
    tensor_set_requires_grad(vector, true);
    CHECK(backward(op_sum(op_square(matrix))) && backward(op_sum(op_square(vector))));
    const Tensor *plain = layout_plain(tensor_grad(matrix)), *back = layout_lanes(plain);
    CHECK(back && back != plain && plain->is_gradient && back->is_gradient && layout_spare_is_right(back));
    CHECK(tensor_set(tensor_grad(vector), AT(4), 3) && layout_spare_is_right(tensor_grad(vector)));
    CHECK(tensor_grad(vector)->is_gradient);
}

/* ---- Scopes and references ---- */

TEST(scope_frees_what_nobody_kept)
{
    WeftCounters before = weft_counters();
    Scope scope = scope_open();
    Tensor *kept = tensor_retain(tensor_zeros(SHAPE(1000)));
    tensor_zeros(SHAPE(1000));
    CHECK_EQUAL(weft_counters().tensors, before.tensors + 2);
    CHECK(weft_counters().bytes >= before.bytes + 2000 * (int64_t)sizeof(Real));
    scope_close(scope);
    CHECK_EQUAL(weft_counters().tensors, before.tensors + 1);
    CHECK(tensor_set(kept, AT(999), 1));
    tensor_release(kept);
    CHECK_EQUAL(weft_counters().tensors, before.tensors);
    CHECK_EQUAL(weft_counters().bytes, before.bytes);
}

/* Returns with its scope open, as a function that gives up early would. */
static void leave_scope_open(void)
{
    scope_open();
    tensor_zeros(SHAPE(3));
}

TEST(scope_close_heals_early_returns)
{
    WeftCounters before = weft_counters();
    Scope outer = scope_open();
    leave_scope_open();
    leave_scope_open();
    Scope inner = scope_open();
    scope_close(outer);
    CHECK_EQUAL(weft_counters().tensors, before.tensors);
    for (int i = 0; i < 10; i++) CHECK(tensor_zeros(SHAPE(2))); /* these belong to the test's own scope */
    scope_close(inner);                                         /* was closed with the outer one */
    CHECK_EQUAL(weft_counters().tensors, before.tensors + 10);
}

/* Its place on the stack is taken by another scope, which it must not close. */
TEST(a_stale_scope_closes_nothing)
{
    Scope a = scope_open(), b = scope_open();
    scope_close(a);
    Scope c = scope_open();
    Tensor *in_c = tensor_full(SHAPE(2), 3);
    Scope d = scope_open();
    Tensor *in_d = tensor_full(SHAPE(2), 4);
    int64_t alive = weft_counters().tensors;
    scope_close(b);
    scope_close(a);
    scope_close((Scope){0});
    CHECK_EQUAL(weft_counters().tensors, alive);
    CHECK_CLOSE(tensor_get(in_c, AT(1)), 3, 0);
    CHECK_CLOSE(tensor_get(in_d, AT(1)), 4, 0);
    scope_close(d);
    CHECK_EQUAL(weft_counters().tensors, alive - 1);
    CHECK_CLOSE(tensor_get(in_c, AT(1)), 3, 0);
    scope_close(c);
    CHECK_EQUAL(weft_counters().tensors, alive - 2);
}

/* More than have a place of their own for being told from closed ones. */
TEST(scopes_nest_deeply)
{
    enum { DEPTH = 200 };
    Scope scopes[DEPTH];
    const int64_t before = weft_counters().tensors;
    for (int i = 0; i < DEPTH; i++) {
        scopes[i] = scope_open();
        CHECK(tensor_zeros(SHAPE(2)));
    }
    for (int i = DEPTH - 1; i >= 0; i--) {
        scope_close(scopes[i]);
        CHECK_EQUAL(weft_counters().tensors, before + i);
    }
}

TEST(scope_return_hands_over)
{
    WeftCounters before = weft_counters();
    Scope outer = scope_open();
    Scope inner = scope_open();
    tensor_zeros(SHAPE(3));
    Tensor *t = scope_return(inner, tensor_full(SHAPE(2), 5));
    CHECK_CLOSE(tensor_get(t, AT(1)), 5, 0);
    CHECK_EQUAL(weft_counters().tensors, before.tensors + 1);
    scope_close(outer);
    CHECK_EQUAL(weft_counters().tensors, before.tensors);
    CHECK(!scope_return(scope_open(), NULL));
}

TEST(scope_adopt_owns_a_reference)
{
    WeftCounters before = weft_counters();
    Scope scope = scope_open();
    Scope inner = scope_open();
    Tensor *t = tensor_retain(tensor_zeros(SHAPE(3)));
    scope_close(inner);
    CHECK(scope_adopt(t) == t);
    CHECK_EQUAL(weft_counters().tensors, before.tensors + 1);
    scope_close(scope);
    CHECK_EQUAL(weft_counters().tensors, before.tensors);
}

typedef struct OtherThread {
    bool made, adopted, returned, made_after, clean, recording;
    char message[256];
} OtherThread;

/* A thread of its own has no scope open, no error on record, and records. */
static void *run_other_thread(void *context)
{
    OtherThread *other = context;
    other->clean = weft_error() == NULL;
    other->recording = autograd_is_recording();
    other->made = tensor_zeros(SHAPE(2)) != NULL;
    if (weft_error()) snprintf(other->message, sizeof other->message, "%s", weft_error());
    Scope scope = scope_open();
    leave_scope_open();
    other->adopted = tensor_zeros(SHAPE(2)) != NULL;
    scope_close(scope);
    scope = scope_open();
    other->returned = scope_return(scope, tensor_zeros(SHAPE(2))) != NULL; /* where no scope is outside */
    other->made_after = tensor_zeros(SHAPE(2)) != NULL;
    return NULL;
}

TEST(scopes_errors_and_recording_belong_to_a_thread)
{
    OtherThread other = {0};
    pthread_t thread;
    weft_fail("this thread's own");
    autograd_record(false);
    CHECK(pthread_create(&thread, NULL, run_other_thread, &other) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(other.clean && other.recording && other.adopted);
    CHECK(!other.made && !other.returned && !other.made_after);
    CHECK(strstr(other.message, "scope"));
    CHECK_ERROR("this thread's own");
    CHECK(!autograd_is_recording());
}

TEST(tensor_list_retains)
{
    WeftCounters before = weft_counters();
    TensorList list = {0};
    Scope scope = scope_open();
    for (int i = 0; i < 100; i++) CHECK(tensor_list_add(&list, tensor_full(SCALAR, i)));
    CHECK(!tensor_list_add(&list, NULL));
    CHECK_ERROR("tensor_list_add: no list or no tensor");
    CHECK(!tensor_list_add(NULL, list.items[0]));
    CHECK_ERROR("tensor_list_add: no list or no tensor");
    scope_close(scope);
    CHECK_EQUAL(list.count, 100);
    CHECK_CLOSE(tensor_item(list.items[77]), 77, 0);
    CHECK_EQUAL(weft_counters().tensors, before.tensors + 100);
    tensor_list_free(&list);
    CHECK_EQUAL(weft_counters().tensors, before.tensors);
    CHECK_EQUAL(list.count, 0);
    CHECK(tensor_list_add(&list, tensor_zeros(SCALAR)));
    tensor_list_free(&list);
}

TEST(peak_bytes_are_the_most_at_a_time)
{
    weft_counters_reset_peak();
    int64_t before = weft_counters().bytes;
    for (int i = 0; i < 3; i++) {
        Scope scope = scope_open();
        tensor_zeros(SHAPE(1000));
        tensor_zeros(SHAPE(3000));
        scope_close(scope);
    }
    int64_t peak = weft_counters().peak_bytes - before;
    CHECK(peak >= 4000 * (int64_t)sizeof(Real) && peak < 5000 * (int64_t)sizeof(Real));
    weft_counters_reset_peak();
    CHECK_EQUAL(weft_counters().peak_bytes, weft_counters().bytes);
}

TEST(memory_sizes_do_not_wrap_around)
{
    CHECK(!weft_alloc(((int64_t)1 << 62) - 16, 4));
    CHECK_ERROR("memory: 4611686018427387888 elements of 4 bytes are too many");
    CHECK(!weft_alloc(INT64_MAX, 2));
    CHECK_ERROR("are too many");
    CHECK(!weft_alloc(-1, 1));
    CHECK_ERROR("memory: -1 elements of 1 bytes are too many");
}

#ifndef WEFT_NO_POOL
/* The two threads of the test below. The first one's read of the block that both would take is held here, by a page
 * that cannot be read, until the second one took a block or had all the time it needs. */
enum { KEPT_ROOM = 3 << 19, HOLD_MILLISECONDS = 200 }; /* a size whose blocks begin a page */
static char *held_page;
static atomic_int held; /* reads of it */
static atomic_bool second_began, second_is_done;

static void hold(int signal)
{
    (void)signal;
    const struct timespec millisecond = {.tv_nsec = 1000000};
    if (held++ == 0) {
        while (!second_began) nanosleep(&millisecond, NULL);
        for (int i = 0; i < HOLD_MILLISECONDS && !second_is_done; i++) nanosleep(&millisecond, NULL);
    }
    mprotect(held_page, 1, PROT_READ | PROT_WRITE);
}

static void *take_second(void *unused)
{
    (void)unused;
    while (!held) {}
    second_began = true;
    void *block = weft_alloc(1, KEPT_ROOM);
    second_is_done = true;
    return block;
}

TEST(two_threads_take_no_block_at_once)
{
    const struct sigaction action = {.sa_handler = hold};
    void *kept = weft_alloc(1, KEPT_ROOM), *second = NULL;
    weft_free(kept);
    held_page = (char *)kept - (uintptr_t)kept % (uintptr_t)sysconf(_SC_PAGESIZE);
    pthread_t other;
    CHECK(kept && sigaction(SIGSEGV, &action, NULL) == 0);
    CHECK(pthread_create(&other, NULL, take_second, NULL) == 0 && mprotect(held_page, 1, PROT_NONE) == 0);
    void *first = weft_alloc(1, KEPT_ROOM);
    CHECK(pthread_join(other, &second) == 0);
    CHECK(held > 0 && first == kept && second && second != first);
    weft_free(first);
    weft_free(second);
}
#endif

/* ---- Errors ---- */

TEST(first_error_stays)
{
    CHECK(!weft_error());
    CHECK(!weft_fail("first: %d and %s", 1, "one"));
    weft_fail("second");
    CHECK_TEXT(weft_error(), "first: 1 and one");
    weft_error_clear();
    weft_fail("of a name: %s", "\n\x1b[1m\x7f\tä");
    CHECK_TEXT(weft_error(), "of a name: ??[1m??ä");
    weft_error_clear();
    CHECK(!weft_error());
    weft_fail("third");
    CHECK_ERROR("third");
    weft_fail("%s", "");
    CHECK_ERROR("unknown error");
}

/* In the middle, where a path is: what failed is said at the beginning, and why at the end. */
TEST(long_errors_are_cut)
{
    enum { LONGEST = 511, MOST = 5000 };
    static const char first[] = "first ", last[] = " last";
    for (int length = 400; length < MOST; length += length < 600 ? 1 : 900) {
        char text[MOST];
        memset(text, 'x', sizeof text);
        memcpy(text, first, strlen(first));
        memcpy(text + length - strlen(last), last, sizeof last);
        weft_fail("%s", text);
        const char *error = weft_error();
        CHECK(error && strncmp(error, first, strlen(first)) == 0);
        CHECK_TEXT(error + strlen(error) - strlen(last), last);
        if (length <= LONGEST) CHECK_TEXT(error, text);
        else CHECK(strlen(error) >= 400 && strlen(error) <= LONGEST && strstr(error, "x...x"));
        weft_error_clear();
    }
}

/* ---- Texts ---- */

TEST(text_has_room_for_its_zero)
{
    Text text = {0};
    for (int i = 0; i < 200; i++) {
        CHECK(weft_text_put(&text, "%c", 'a' + i % 26));
        CHECK_EQUAL(text.length, i + 1);
        CHECK(text.capacity > text.length && text.bytes[text.length] == '\0' && text.bytes[i] == 'a' + i % 26);
    }
    const int64_t length = text.length;
    weft_alloc_fail_at(1);
    CHECK(!weft_text_put(&text, "%1000d", 1));
    weft_alloc_fail_at(0);
    CHECK_ERROR("no room");
    CHECK(text.length == length && text.bytes[length] == '\0' && text.bytes[length - 1] == 'a' + 199 % 26);
    weft_text_free(&text);
    CHECK(!text.bytes && text.length == 0);
}

/* ---- The process ---- */

TEST(thread_count_is_checked)
{
#ifdef _OPENMP
    CHECK_EQUAL(weft_threads(), omp_get_max_threads());
#else
    CHECK_EQUAL(weft_threads(), 1);
#endif
    CHECK(!weft_set_threads(0));
    CHECK_ERROR("0");
    CHECK(!weft_set_threads(-3));
    CHECK_ERROR("-3");
    CHECK(!weft_set_threads(4097));
    CHECK_ERROR("threads: 4097 is not from 1 to 4096");
    CHECK(weft_set_threads(3));
    CHECK_EQUAL(weft_threads(), weft_has_openmp() ? 3 : 1);
}

enum { CALLERS = 3, ITEMS = 100 };

static void count_items(int64_t begin, int64_t end, int thread, void *context)
{
    int *counts = context;
    for (int64_t i = begin; i < end; i++) counts[i] += thread >= 0 && thread < weft_threads();
}

/* Where OpenMP starts fewer threads than were asked for, as within a caller's own parallel region, these do it all. */
TEST(threads_that_are_fewer_than_asked_for_leave_nothing_out)
{
    int counts[CALLERS][ITEMS] = {{0}};
    CHECK(weft_set_threads(4));
#ifdef _OPENMP
#pragma omp parallel for num_threads(CALLERS)
#endif
    for (int caller = 0; caller < CALLERS; caller++) parallel_for(ITEMS, 1, count_items, counts[caller]);
    for (int i = 0; i < CALLERS * ITEMS; i++) CHECK_EQUAL(counts[i / ITEMS][i % ITEMS], 1);
}

enum { RANGES = 4 };
typedef struct Ranges {
    atomic_int calls[RANGES];
    atomic_llong items[RANGES];
} Ranges;

static void note_range(int64_t begin, int64_t end, int thread, void *context)
{
    Ranges *ranges = context;
    ranges->calls[thread]++;
    ranges->items[thread] += end - begin;
}

TEST(threads_have_numbers_and_ranges_of_their_own)
{
    enum { GRAIN = 7 };
    CHECK(weft_set_threads(RANGES));
    for (int64_t count = 1; count < 60; count++) {
        Ranges ranges = {0};
        int64_t sum = 0;
        parallel_for(count, GRAIN, note_range, &ranges);
        for (int i = 0; i < RANGES; i++) {
            CHECK(ranges.calls[i] <= 1);
            CHECK(ranges.calls[i] == 0 || ranges.items[i] >= GRAIN || ranges.items[i] == count);
            sum += ranges.items[i];
        }
        CHECK_EQUAL(sum, count);
    }
}

TEST(isa_that_is_unknown_lets_no_op_run)
{
    const char *wanted = getenv("WEFT_ISA");
    char *before = wanted ? strdup(wanted) : NULL;
    CHECK(setenv("WEFT_ISA", "bogus", 1) == 0);
    const bool chosen = weft_isa() != NULL; /* by an earlier test of this process */
    weft_error_clear();
    const Tensor *t = tensor_zeros(SHAPE(2));
    CHECK((before ? setenv("WEFT_ISA", before, 1) : unsetenv("WEFT_ISA")) == 0);
    free(before);
    if (chosen) SKIP("the instruction set is chosen once a process");
    CHECK(!t);
    CHECK_ERROR("WEFT_ISA=bogus is not among what this machine and build have: ");
    CHECK(tensor_zeros(SHAPE(2)));
}

TEST(isa_is_the_first_table)
{
    const Kernels *const *tables = weft_kernels_all();
    CHECK(tables[0]);
    for (int i = 0; tables[i]; i++) {
        weft_kernels_use(tables[i]);
        CHECK_TEXT(weft_isa(), tables[i]->isa);
    }
    weft_kernels_use(NULL);
    if (!getenv("WEFT_ISA")) CHECK_TEXT(weft_isa(), tables[0]->isa);
}
