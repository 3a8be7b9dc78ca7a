/* TensorList: a growing array of tensors that retains what it holds. Zero-initialised it is empty:
 *
 *     TensorList list = {0};
 *     tensor_list_add(&list, t);
 *     for (int64_t i = 0; i < list.count; i++) use(list.items[i]);
 *     tensor_list_free(&list); */
#ifndef WEFT_LIST_H
#define WEFT_LIST_H

#include "tensor/tensor.h"

WEFT_PUBLIC_BEGIN

/* Read items and count; leave writing them to the functions below. */
typedef struct TensorList {
    Tensor **items;
    int64_t count;
    int64_t capacity;
} TensorList;

/* Retains t and appends it. False with an error, the list unchanged, if t is NULL or memory is short. */
bool tensor_list_add(TensorList *list, Tensor *t) WEFT_CHECKED;
/* Releases all tensors and the array; the list is empty and usable again. */
void tensor_list_free(TensorList *list);

WEFT_PUBLIC_END
#endif
