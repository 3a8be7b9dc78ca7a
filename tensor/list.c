#include "tensor/list.h"

#include "tensor/memory.h"

bool tensor_list_add(TensorList *list, Tensor *t)
{
    if (!list || !t) return weft_fail("tensor_list_add: no list or no tensor");
    if (!weft_grow(&list->items, &list->capacity, list->count + 1, sizeof *list->items)) return false;
    list->items[list->count++] = tensor_retain(t);
    return true;
}

void tensor_list_free(TensorList *list)
{
    if (!list) return;
    for (int64_t i = 0; i < list->count; i++) tensor_release(list->items[i]);
    weft_free(list->items);
    *list = (TensorList){0};
}
