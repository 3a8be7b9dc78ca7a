/* Stochastic gradient descent and learning-rate schedules, with PyTorch's semantics and order of operations. Knows
 * tensors only, no modules. */
#ifndef WEFT_OPTIM_H
#define WEFT_OPTIM_H

#include "tensor/list.h"

WEFT_PUBLIC_BEGIN

/* What steps parameters by their gradients: the options, and a momentum buffer for each parameter. */
typedef struct Optimizer Optimizer;

typedef struct SgdOptions {
    const TensorList *parameters; /* no results of ops, each once; retained, so that anything may be freed first */
    double lr;                    /* at least 0, as are the next two */
    double momentum;
    double weight_decay;
    double dampening;             /* any that is finite */
    bool nesterov;                /* needs momentum and no dampening */
    char end;
} SgdOptions;

/* optimizer_sgd(&parameters, 0.01, .momentum = 0.9). Parameters that want other options want an optimizer of their own.
 * NULL with an error if an option is out of range. */
#define optimizer_sgd(...) optimizer_sgd_with((SgdOptions){__VA_ARGS__, .end = 0})
Optimizer *optimizer_sgd_with(SgdOptions options);
/* Frees the momentum buffers and lets go of the parameters; before or after whoever else holds them. NULL is fine. */
void optimizer_free(Optimizer *optimizer);

/* For each value w of a parameter and g of its gradient, as torch.optim.SGD does, every product and sum rounded:
 *     g += weight_decay w;  v = momentum v + (1 - dampening) g, or v = g the first time;
 *     g = nesterov ? g + momentum v : v;  w -= lr g
 * Without momentum there is no v. Then clears all gradients. A parameter without a gradient is left alone. Needs no
 * scope. All or nothing: false with an error, everything unchanged, when memory is short or optimizer is NULL. */
bool optimizer_step(Optimizer *optimizer) WEFT_CHECKED;
/* Drops all gradients without a step. NULL is fine. */
void optimizer_clear(Optimizer *optimizer);

/* The number of its parameters; 0 for NULL. */
int64_t optimizer_count(const Optimizer *optimizer);
/* What it steps with; 0 for NULL. */
double optimizer_lr(const Optimizer *optimizer);
double optimizer_momentum(const Optimizer *optimizer);
/* False with an error if below 0 or not finite. */
bool optimizer_set_lr(Optimizer *optimizer, double lr);
bool optimizer_set_momentum(Optimizer *optimizer, double momentum);

/* The momentum buffer v of parameter i, in the list's order: borrowed; NULL before its first step, and with an error if
 * there is no parameter i or optimizer is NULL. To save it. */
Tensor *optimizer_velocity(const Optimizer *optimizer, int64_t i);
/* Copies a saved v back, as if the steps that made it had been taken. False with an error if there is no parameter i,
 * the shapes differ, memory is short, or optimizer is NULL; velocity NULL: false. */
bool optimizer_set_velocity(Optimizer *optimizer, int64_t i, const Tensor *velocity) WEFT_CHECKED;

/* ---- Schedules: what the learning rate is at a step, a pure function, so that nothing is lost on resuming ----
 *
 * torch.optim.lr_scheduler's StepLR and OneCycleLR (cosines in two phases; L. Smith and N. Topin, "Super-convergence",
 * 2019). A step is whatever the caller counts: a batch, an epoch. */

/* Which of them; zero is the rate as it is. */
typedef enum ScheduleKind { SCHEDULE_CONSTANT, SCHEDULE_STEP, SCHEDULE_ONE_CYCLE } ScheduleKind;

typedef struct Schedule {
    ScheduleKind kind;
    double lr;                /* constant: the rate; step: the first; one cycle: the highest */
    int64_t step_size;        /* step: multiply by gamma every so many steps */
    double gamma;             /* step; 0: 0.1 */
    int64_t total_steps;      /* one cycle */
    double warmup;            /* one cycle: share of the steps that rise, up to 1; 0: 0.3 (torch's pct_start) */
    double start_divisor;     /* one cycle: first rate = lr / this; 0: 25 (div_factor) */
    double final_divisor;     /* one cycle: last rate = first / this; 0: 1e4 (final_div_factor) */
    bool cycle_momentum;      /* one cycle: momentum falls while the rate rises, between the next two */
    double max_momentum;      /* 0: 0.95 */
    double base_momentum;     /* 0: 0.85 */
} Schedule;

/* False with an error that says which member is out of range. */
bool schedule_check(const Schedule *schedule) WEFT_CHECKED;
/* The rate, and momentum, for step 0, 1, ... of a schedule that schedule_check accepts; from total_steps on, those of
 * one cycle's last step. `momentum` is what it is when not cycled. NULL: 0, and `momentum`. */
double schedule_lr(const Schedule *schedule, int64_t step);
double schedule_momentum(const Schedule *schedule, int64_t step, double momentum);
/* Sets both in the optimizer for that step. False with an error, nothing set, if the schedule is out of range, the
 * optimizer is NULL or the step below 0. */
bool schedule_apply(const Schedule *schedule, Optimizer *optimizer, int64_t step) WEFT_CHECKED;

WEFT_PUBLIC_END
#endif
