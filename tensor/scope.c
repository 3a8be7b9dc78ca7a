#include "tensor/scope.h"

#include "tensor/memory.h"

/* A stack of owned references; a scope is the height where it began. */
static _Thread_local struct {
    Tensor **items;
    int64_t count, capacity;
    int depth;
} stack;

Scope scope_open(void)
{
    return (Scope){.first = stack.count, .depth = ++stack.depth};
}

void scope_close(Scope scope)
{
    if (scope.depth > stack.depth) return;
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
