/* Runs the tests: all, or those whose name or file contains an argument. */
#include "tests/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "autograd/autograd.h"

/* How a test's process ends. Not with 0: that is how code ends it which a test runs and which should not. */
enum { PASSED = 70, FAILED = 1, SKIPPED = 77 };
enum { TIMEOUT_SECONDS = 300, PATH_BYTES = 4096 };

static const char usage[] =
    "usage: unit [--no-fork] [--verbose] [--list] [--timeout SECONDS] [PART OF A NAME OR FILE]...\n"
    "  --no-fork   run all tests in this process, for debuggers and valgrind\n"
    "  --verbose   a line with the time of each test, and figures that some tell\n"
    "  --list      the names only\n"
    "  --timeout   of each test, 300 seconds if not given\n";

/* Under AddressSanitizer memory that is not there is NULL, as everywhere: tests ask for too much on purpose. */
__attribute__((visibility("default"))) const char *__asan_default_options(void); /* for its runtime to find */
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static Test *first_test, **last_test = &first_test;
static const Test *running;
static int outcome;
static bool verbose;
static char folder[PATH_BYTES / 2];

void test_register(Test *test)
{
    *last_test = test;
    last_test = &test->next;
}

int test_index(void)
{
    return running->index;
}

const char *test_name(void)
{
    return running->name;
}

bool test_failed(void)
{
    return outcome == FAILED;
}

/* Only the first failure of a test is told: what follows it is mostly its consequence. */
__attribute__((format(printf, 3, 4))) static bool fail(const char *file, int line, const char *format, ...)
{
    if (outcome == FAILED) return false;
    outcome = FAILED;
    printf("FAIL %s: %s:%d: ", running->name, file, line);
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    if (weft_error()) printf(" [error on record: %s]", weft_error());
    printf("\n");
    fflush(stdout);
    return false;
}

bool test_check(bool holds, const char *file, int line, const char *text)
{
    return holds || fail(file, line, "%s", text);
}

bool test_equal(int64_t a, int64_t b, const char *file, int line, const char *text)
{
    return a == b || fail(file, line, "%s: %lld and %lld", text, (long long)a, (long long)b);
}

bool test_close(double a, double b, double tolerance, const char *file, int line, const char *text)
{
    if (a == b || (isfinite(b) && fabs(a - b) <= tolerance * fmax(1, fabs(b)))) return true;
    return fail(file, line, "%s: %.17g and %.17g, off by %.3g", text, a, b, fabs(a - b));
}

bool test_equal_bits(const Real *a, const Real *b, int64_t count, const char *file, int line, const char *text)
{
    if (!a || !b) return fail(file, line, "%s: NULL", text);
    for (int64_t i = 0; i < count; i++) {
        if (memcmp(&a[i], &b[i], sizeof *a) == 0) continue;
        return fail(file, line, "%s: element %lld of %lld is %.17g and %.17g", text, (long long)i, (long long)count,
                    (double)a[i], (double)b[i]);
    }
    return true;
}

bool test_text(const char *a, const char *b, const char *file, int line, const char *text)
{
    if (a && b && strcmp(a, b) == 0) return true;
    return fail(file, line, "%s: \"%s\" and \"%s\"", text, a ? a : "(NULL)", b ? b : "(NULL)");
}

bool test_error(const char *substring, const char *file, int line)
{
    if (!weft_error()) return fail(file, line, "no error is on record, \"%s\" is expected", substring);
    if (!strstr(weft_error(), substring)) return fail(file, line, "the error does not contain \"%s\"", substring);
    weft_error_clear();
    return true;
}

void test_skip(const char *why)
{
    if (outcome != PASSED) return;
    outcome = SKIPPED;
    printf("SKIP %s: %s\n", running->name, why);
    fflush(stdout);
}

void test_note(const char *format, ...)
{
    if (!verbose) return;
    printf("           %s: ", running->name);
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    fflush(stdout);
}

/* The last table is the baseline, which rounds twice on x86. */
const Kernels *const *test_kernels(void)
{
    static const Kernels *tables[8];
    const Kernels *const *all = weft_kernels_all();
    int count = 0;
    while (all[count + 1]) count++;
    weft_kernels_use(NULL);
    bool fused = weft_kernels() != all[count];
    memcpy(tables, fused ? all : all + count, (size_t)(fused ? count : 1) * sizeof *tables);
    return tables;
}

const char *test_path(const char *name)
{
    static char paths[4][PATH_BYTES];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, PATH_BYTES, "%s/%s", folder, running->name);
    mkdir(path, S_IRWXU);
    snprintf(path, PATH_BYTES, "%s/%s/%s", folder, running->name, name);
    return path;
}

/* Over what is there, cut afterwards: some file systems wait for the disk when a file that was emptied is closed, and
 * there are tests that write one thousands of times. */
bool test_write(const char *path, const void *bytes, size_t count)
{
    int file = open(path, O_WRONLY | O_CREAT, 0666);
    bool ok = file >= 0 && write(file, bytes, count) == (ssize_t)count && ftruncate(file, (off_t)count) == 0;
    return file >= 0 && close(file) == 0 && ok;
}

TestBytes test_read(const char *path)
{
    TestBytes bytes = {.count = 0};
    FILE *file = fopen(path, "rb");
    if (file) {
        bytes.count = fread(bytes.at, 1, sizeof bytes.at, file);
        fclose(file);
    }
    return bytes;
}

const char *test_read_text(const char *path)
{
    static TestBytes text;
    text = test_read(path);
    if (text.count == 0 || text.count == TEST_BYTES) {
        fail(__FILE__, __LINE__, "%s: empty, or %d bytes and more", path, TEST_BYTES);
        text.count = 0;
    }
    text.at[text.count] = '\0';
    return (const char *)text.at;
}

Real *test_values(const Tensor *t)
{
    int64_t count = tensor_count(t);
    Real *values = malloc((size_t)(count ? count : 1) * sizeof *values);
    if (values && tensor_read(t, values, count)) return values;
    free(values);
    fail(__FILE__, __LINE__, "test_values: no tensor or no memory");
    return NULL;
}

void test_redirect(const char *path, int kept[2])
{
    fflush(NULL);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    for (int i = 0; i < 2; i++) {
        kept[i] = dup(i + STDOUT_FILENO);
        dup2(file, i + STDOUT_FILENO);
    }
    close(file);
}

void test_put_back(const int kept[2])
{
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        dup2(kept[i], i + STDOUT_FILENO);
        close(kept[i]);
    }
}

static int open_files(void)
{
    enum { MOST = 256 };
    int count = 0;
    for (int i = 0; i < MOST; i++) count += fcntl(i, F_GETFD) >= 0;
    return count;
}

/* Runs the test in this process; what it leaves alive counts against it. */
static int run_here(const Test *test)
{
    running = test;
    outcome = PASSED;
    WeftCounters before = weft_counters();
    int threads = weft_threads(), files = open_files();
    Scope scope = scope_open();
    test->run();
    if (weft_error()) fail(test->file, 0, "the test leaves an error on record");
    scope_close(scope);
    autograd_record(true);
    weft_kernels_use(NULL);
    weft_set_threads(threads);
    weft_error_clear();
    WeftCounters after = weft_counters();
    int64_t tensors = after.tensors - before.tensors, blocks = after.blocks - before.blocks;
    if (tensors || blocks)
        fail(test->file, 0, "%lld tensors and %lld blocks of memory are alive afterwards", (long long)tensors,
             (long long)blocks);
    if (open_files() != files) fail(test->file, 0, "a file is open afterwards");
    return outcome;
}

static int run_forked(const Test *test, unsigned timeout)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(timeout);
        exit(run_here(test));
    }
    int status = 0;
    pid_t ended = child;
    if (child > 0) do ended = waitpid(child, &status, 0); while (ended < 0 && errno == EINTR);
    if (child < 0 || ended != child) {
        printf("FAIL %s: %s: cannot start a process\n", test->name, test->file);
        return FAILED;
    }
    if (WIFEXITED(status)) {
        int code = WEXITSTATUS(status);
        if (code == PASSED || code == FAILED || code == SKIPPED) return code;
        printf("FAIL %s: %s: exit status %d\n", test->name, test->file, code);
    } else if (WTERMSIG(status) == SIGALRM) {
        printf("FAIL %s: %s: not done after %u seconds\n", test->name, test->file, timeout);
    } else {
        printf("FAIL %s: %s: %s\n", test->name, test->file, strsignal(WTERMSIG(status)));
    }
    return FAILED;
}

static void remove_folder(const char *path)
{
    DIR *entries = opendir(path);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        char inner[PATH_BYTES];
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (unlink(inner)) remove_folder(inner);
    }
    if (entries) closedir(entries);
    rmdir(path);
}

static bool selected(const Test *test, char **parts, int count)
{
    bool found = count == 0;
    for (int i = 0; i < count; i++) found |= strstr(test->name, parts[i]) || strstr(test->file, parts[i]);
    return found;
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

typedef struct Options {
    bool no_fork, list;
    unsigned timeout;
} Options;

/* Moves the arguments that are no options to the front of argv; their number, or -1. */
static int parse(int argc, char **argv, Options *options)
{
    int parts = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-fork") == 0) options->no_fork = true;
        else if (strcmp(argv[i], "--verbose") == 0) verbose = true;
        else if (strcmp(argv[i], "--list") == 0) options->list = true;
        else if (strcmp(argv[i], "--timeout") == 0 && i + 1 < argc) options->timeout = (unsigned)atoi(argv[++i]);
        else if (argv[i][0] == '-') return -1;
        else argv[parts++] = argv[i];
    }
    return options->timeout ? parts : -1;
}

int main(int argc, char **argv)
{
    Options options = {.timeout = TIMEOUT_SECONDS};
    int parts = parse(argc, argv, &options);
    if (parts < 0) {
        fputs(usage, stderr);
        return 2;
    }
    const char *temporary = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/weft-tests-XXXXXX", temporary && *temporary ? temporary : "/tmp");
    if (!mkdtemp(folder)) {
        perror(folder);
        return 1;
    }
    int passed = 0, failed = 0, skipped = 0;
    for (const Test *test = first_test; test; test = test->next) {
        if (!selected(test, argv, parts)) continue;
        if (options.list) {
            printf("%s: %s\n", test->file, test->name);
            continue;
        }
        double start = seconds_now();
        int result = options.no_fork ? run_here(test) : run_forked(test, options.timeout);
        if (verbose) printf("%7.3f s  %s: %s\n", seconds_now() - start, test->file, test->name);
        *(result == PASSED ? &passed : result == FAILED ? &failed : &skipped) += 1;
    }
    remove_folder(folder);
    if (options.list) return 0;
    printf("%d passed, %d failed", passed, failed);
    if (skipped) printf(", %d skipped", skipped);
    printf("\n");
    return failed || passed + skipped == 0;
}
