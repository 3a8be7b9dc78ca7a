#include "optim/optim.h"

#include <math.h>

#include "tensor/kernels/kernels.h"
#include "tensor/layout.h"
#include "tensor/memory.h"

typedef struct Slot {
    Tensor *parameter;
    Tensor *velocity;   /* may exist before it holds anything */
    bool started;       /* the velocity holds something */
    const Tensor *grad; /* during a step: in the parameter's layout, NULL if it has none */
} Slot;

struct Optimizer {
    double lr, momentum, weight_decay, dampening;
    bool nesterov;
    int64_t count;
    Slot *slots;
};

/* ---- Making ---- */

static bool in_range(const char *function, const char *name, double value)
{
    if (isfinite(value) && value >= 0) return true;
    return weft_fail("%s: %s is %g; it must be finite and at least 0", function, name, value);
}

static bool check_options(const SgdOptions *options)
{
    const TensorList *parameters = options->parameters;
    if (!parameters || parameters->count < 1) return weft_fail("optimizer_sgd: no parameters");
    if (!in_range("optimizer_sgd", "lr", options->lr)) return false;
    if (!in_range("optimizer_sgd", "momentum", options->momentum)) return false;
    if (!in_range("optimizer_sgd", "weight_decay", options->weight_decay)) return false;
    if (!isfinite(options->dampening)) return weft_fail("optimizer_sgd: dampening is %g", options->dampening);
    if (options->nesterov && (options->momentum == 0 || options->dampening != 0))
        return weft_fail("optimizer_sgd: nesterov needs a momentum above 0 and no dampening; they are %g and %g",
                         options->momentum, options->dampening);
    for (int64_t i = 0; i < parameters->count; i++) {
        const Tensor *parameter = parameters->items[i];
        if (!parameter) return weft_fail("optimizer_sgd: parameter %lld is NULL", (long long)i);
        if (parameter->node)
            return weft_fail("optimizer_sgd: parameter %lld is the result of an op", (long long)i);
        for (int64_t j = 0; j < i; j++) {
            if (parameters->items[j] == parameter)
                return weft_fail("optimizer_sgd: parameters %lld and %lld are the same tensor", (long long)j,
                                 (long long)i);
        }
    }
    return true;
}

Optimizer *optimizer_sgd_with(SgdOptions options)
{
    if (!check_options(&options)) return NULL;
    int64_t count = options.parameters->count;
    Optimizer *optimizer = weft_alloc(1, sizeof *optimizer);
    Slot *slots = optimizer ? weft_alloc_zeroed(count, sizeof *slots) : NULL;
    if (!slots) {
        weft_free(optimizer);
        return NULL;
    }
    for (int64_t i = 0; i < count; i++) slots[i].parameter = tensor_retain(options.parameters->items[i]);
    *optimizer = (Optimizer){
        .lr = options.lr, .momentum = options.momentum, .weight_decay = options.weight_decay,
        .dampening = options.dampening, .nesterov = options.nesterov, .count = count, .slots = slots,
    };
    return optimizer;
}

void optimizer_free(Optimizer *optimizer)
{
    if (!optimizer) return;
    for (int64_t i = 0; i < optimizer->count; i++) {
        tensor_release(optimizer->slots[i].parameter);
        tensor_release(optimizer->slots[i].velocity);
    }
    weft_free(optimizer->slots);
    weft_free(optimizer);
}

/* ---- Stepping ---- */

static bool make_velocity(Slot *slot)
{
    if (slot->velocity) return true;
    Scope scope = scope_open();
    slot->velocity = tensor_retain(layout_new_like(slot->parameter, slot->parameter->shape));
    scope_close(scope);
    return slot->velocity;
}

/* Everything that can fail, before anything changes. */
static bool prepare(Optimizer *optimizer)
{
    for (int64_t i = 0; i < optimizer->count; i++) {
        Slot *slot = &optimizer->slots[i];
        const Tensor *grad = slot->parameter->grad;
        slot->grad = slot->parameter->lanes ? layout_lanes(grad) : layout_plain(grad);
        if (!grad) continue;
        if (!slot->grad || (optimizer->momentum != 0 && !make_velocity(slot))) return false;
    }
    return true;
}

static void update(const Optimizer *optimizer, Slot *slot)
{
    if (!slot->grad) return;
    bool has_momentum = optimizer->momentum != 0;
    const SgdUpdate step = {
        .lr = (Real)optimizer->lr,
        .momentum = (Real)optimizer->momentum,
        .weight_decay = (Real)optimizer->weight_decay,
        .gradient_share = (Real)(1 - optimizer->dampening),
        .nesterov = optimizer->nesterov,
        .first = !slot->started,
    };
    Storage *values = slot->parameter->storage;
    weft_kernels()->sgd(values->data, has_momentum ? slot->velocity->storage->data : NULL, slot->grad->storage->data,
                        values->count, &step);
    layout_fill_spare(slot->parameter);
    layout_touch(slot->parameter);
    if (!has_momentum) return;
    layout_fill_spare(slot->velocity);
    layout_touch(slot->velocity);
    slot->started = true;
}

bool optimizer_step(Optimizer *optimizer)
{
    if (!optimizer) return weft_fail("optimizer_step: no optimizer");
    Scope scope = scope_open();
    bool ready = prepare(optimizer);
    for (int64_t i = 0; ready && i < optimizer->count; i++) update(optimizer, &optimizer->slots[i]);
    scope_close(scope);
    if (ready) optimizer_clear(optimizer);
    return ready;
}

void optimizer_clear(Optimizer *optimizer)
{
    for (int64_t i = 0; optimizer && i < optimizer->count; i++) tensor_clear_grad(optimizer->slots[i].parameter);
}

/* ---- Looking and setting ---- */

int64_t optimizer_count(const Optimizer *optimizer)
{
    return optimizer ? optimizer->count : 0;
}

double optimizer_lr(const Optimizer *optimizer)
{
    return optimizer ? optimizer->lr : 0;
}

double optimizer_momentum(const Optimizer *optimizer)
{
    return optimizer ? optimizer->momentum : 0;
}

static bool set(Optimizer *optimizer, double *member, const char *function, const char *name, double value)
{
    if (!optimizer) return weft_fail("%s: no optimizer", function);
    if (!in_range(function, name, value)) return false;
    *member = value;
    return true;
}

bool optimizer_set_lr(Optimizer *optimizer, double lr)
{
    return set(optimizer, optimizer ? &optimizer->lr : NULL, "optimizer_set_lr", "lr", lr);
}

bool optimizer_set_momentum(Optimizer *optimizer, double momentum)
{
    return set(optimizer, optimizer ? &optimizer->momentum : NULL, "optimizer_set_momentum", "momentum", momentum);
}

static Slot *slot_at(const char *function, const Optimizer *optimizer, int64_t i)
{
    if (!optimizer) return weft_fail("%s: no optimizer", function);
    if (i >= 0 && i < optimizer->count) return &optimizer->slots[i];
    return weft_fail("%s: no parameter %lld, there are %lld", function, (long long)i, (long long)optimizer->count);
}

Tensor *optimizer_velocity(const Optimizer *optimizer, int64_t i)
{
    const Slot *slot = slot_at("optimizer_velocity", optimizer, i);
    return slot && slot->started ? slot->velocity : NULL;
}

bool optimizer_set_velocity(Optimizer *optimizer, int64_t i, const Tensor *velocity)
{
    Slot *slot = slot_at("optimizer_set_velocity", optimizer, i);
    if (!slot || !velocity) return false;
    if (!shape_equal(velocity->shape, slot->parameter->shape)) {
        char a[SHAPE_TEXT], b[SHAPE_TEXT];
        return weft_fail("optimizer_set_velocity: %s for parameter %lld, which is %s", shape_text(velocity->shape, a),
                         (long long)i, shape_text(slot->parameter->shape, b));
    }
    if (!make_velocity(slot) || !tensor_copy(slot->velocity, velocity)) return false;
    slot->started = true;
    return true;
}
