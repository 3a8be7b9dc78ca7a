#include "optim/optim.h"

#include <math.h>

#include "tensor/math.h"

static const double PI = 0x1.921fb54442d18p+1;

/* torch.optim.lr_scheduler's defaults, which a zero stands for. */
static const double GAMMA = 0.1, WARMUP = 0.3, START_DIVISOR = 25, FINAL_DIVISOR = 1e4;
static const double MAX_MOMENTUM = 0.95, BASE_MOMENTUM = 0.85;

static double or_default(double value, double otherwise)
{
    return value != 0 ? value : otherwise;
}

/* ---- Checking ---- */

static bool in_range(const char *name, double value, double most)
{
    if (isfinite(value) && value >= 0 && value <= most) return true;
    if (isinf(most)) return weft_fail("schedule: %s is %g; it must be finite and at least 0", name, value);
    return weft_fail("schedule: %s is %g; it must be from 0 to %g", name, value, most);
}

static bool at_least_one(const char *name, int64_t steps)
{
    return steps >= 1 || weft_fail("schedule: %s is %lld; it must be at least 1", name, (long long)steps);
}

bool schedule_check(const Schedule *schedule)
{
    const Schedule *s = schedule;
    if (!s) return weft_fail("schedule: none");
    if (!in_range("lr", s->lr, (double)INFINITY)) return false;
    switch (s->kind) {
    case SCHEDULE_CONSTANT:
        return true;
    case SCHEDULE_STEP:
        return at_least_one("step_size", s->step_size) && in_range("gamma", s->gamma, (double)INFINITY);
    case SCHEDULE_ONE_CYCLE:
        return at_least_one("total_steps", s->total_steps) && in_range("warmup", s->warmup, 1) &&
               in_range("start_divisor", s->start_divisor, (double)INFINITY) &&
               in_range("final_divisor", s->final_divisor, (double)INFINITY) &&
               in_range("max_momentum", s->max_momentum, (double)INFINITY) &&
               in_range("base_momentum", s->base_momentum, (double)INFINITY);
    }
    return weft_fail("schedule: there is no kind %d", (int)s->kind);
}

/* ---- Values ---- */

/* base^exponent. */
static double power(double base, int64_t exponent)
{
    double result = 1;
    for (; exponent > 0; exponent /= 2) {
        if (exponent % 2) result *= base;
        base *= base;
    }
    return result;
}

/* From `start` through `peak` to `end` along half cosines: OneCycleLR's two phases. Its first phase ends at step
 * warmup * total_steps - 1, a whole number or not. */
static double one_cycle(const Schedule *s, int64_t step, double start, double peak, double end)
{
    double last = (double)(s->total_steps - 1);
    double now = step < s->total_steps ? (double)step : last;
    double top = or_default(s->warmup, WARMUP) * (double)s->total_steps - 1;
    bool rising = now <= top;
    double from = rising ? start : peak, to = rising ? peak : end;
    double begin = rising ? 0 : top, length = (rising ? top : last) - begin;
    double done = length > 0 ? (now - begin) / length : 1;
    return to + (from - to) / 2 * (weft_cos(PI * done) + 1);
}

double schedule_lr(const Schedule *schedule, int64_t step)
{
    if (!schedule) return 0;
    switch (schedule->kind) {
    case SCHEDULE_CONSTANT:
        break;
    case SCHEDULE_STEP:
        return schedule->lr * power(or_default(schedule->gamma, GAMMA), step / schedule->step_size);
    case SCHEDULE_ONE_CYCLE: {
        double first = schedule->lr / or_default(schedule->start_divisor, START_DIVISOR);
        double last = first / or_default(schedule->final_divisor, FINAL_DIVISOR);
        return one_cycle(schedule, step, first, schedule->lr, last);
    }
    }
    return schedule->lr;
}

double schedule_momentum(const Schedule *schedule, int64_t step, double momentum)
{
    if (!schedule || schedule->kind != SCHEDULE_ONE_CYCLE || !schedule->cycle_momentum) return momentum;
    double most = or_default(schedule->max_momentum, MAX_MOMENTUM);
    return one_cycle(schedule, step, most, or_default(schedule->base_momentum, BASE_MOMENTUM), most);
}

bool schedule_apply(const Schedule *schedule, Optimizer *optimizer, int64_t step)
{
    if (!schedule_check(schedule)) return false;
    if (!optimizer) return weft_fail("schedule_apply: no optimizer");
    if (step < 0) return weft_fail("schedule_apply: step %lld is below 0", (long long)step);
    double momentum = schedule_momentum(schedule, step, optimizer_momentum(optimizer));
    return optimizer_set_lr(optimizer, schedule_lr(schedule, step)) && optimizer_set_momentum(optimizer, momentum);
}
