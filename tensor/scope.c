#include "tensor/scope.h"

#include "tensor/memory.h"

/* Scopes nested deeper than this are not told from closed ones of the same depth. Opening one must not fail, so their
 * serial numbers have a place of fixed size. */
enum { TOLD_APART = 64 };

/* A stack of owned references; a scope is the height where it began. */
static _Thread_local struct {
    Tensor **items;
    int64_t count, capacity;
    int64_t opened;            /* scopes so far */
    int64_t open[TOLD_APART];  /* serial numbers of the open ones by depth */
    int depth;
} stack;

Scope scope_open(void)
{
    Scope scope = {.first = stack.count, .serial = ++stack.opened, .depth = ++stack.depth};
    if (scope.depth <= TOLD_APART) stack.open[scope.depth - 1] = scope.serial;
    return scope;
}

static bool is_open(Scope scope)
{
    if (scope.depth < 1 || scope.depth > stack.depth) return false;
    return scope.depth > TOLD_APART || stack.open[scope.depth - 1] == scope.serial;
}

void scope_close(Scope scope)
{
    if (!is_open(scope)) return;
    while (stack.count > scope.first) tensor_release(stack.items[--stack.count]);
    stack.depth = scope.depth - 1;
    if (stack.depth == 0) {
        weft_free(stack.items); /* so that a thread may end with no scope open and leak nothing */
        stack.items = NULL;
        stack.capacity = 0;
    }
}

Tensor *scope_adopt(Tensor *t)
{
    if (!t) return NULL;
    if (stack.depth == 0) weft_fail("no scope is open: call scope_open before making tensors");
    if (stack.depth == 0 || !weft_grow(&stack.items, &stack.capacity, stack.count + 1, sizeof *stack.items)) {
        tensor_release(t);
        return NULL;
    }
    return stack.items[stack.count++] = t;
}

Tensor *scope_return(Scope scope, Tensor *t)
{
    tensor_retain(t);
    scope_close(scope);
    return scope_adopt(t);
}
