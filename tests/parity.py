#!/usr/bin/env python3
"""Compares Weft with PyTorch's float64, live: each value of each op's result and gradients, each loss of a training.

usage: parity.py DRIVER float|double ops CASES SEED        DRIVER is build/tests/parity, or build/double/tests/parity
       parity.py DRIVER float|double train cnn|tiny STEPS BATCH

Random cases of all ops of autograd/ops.h, in the notation of tests/cases.h. An error is relative to the largest value
of its tensor. Ends with the worst errors and the line "N passed, N failed"; the exit status agrees.
"""
import os
import random
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'golden'))
import make  # noqa: E402: the folder comes first
import numpy  # noqa: E402
import torch  # noqa: E402
from torch.nn import functional as F  # noqa: E402

TOLERANCE = {'float': {'direct': 1e-5, 'Winograd': 1e-4}, 'double': {'direct': 1e-11, 'Winograd': 1e-11}}
LOSS_TOLERANCE = 1e-8
PEAK_LR, MOMENTUM, WEIGHT_DECAY = 0.02, 0.9, 1e-4
MOST_VALUES = 200_000  # of an input or a result


# ---- Random cases ----

def pick(*choices):
    return lambda r: r.choice(choices)


batch = pick(1, 1, 2, 5, 15, 16, 17, 33)
side = pick(1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 14)
channels = pick(1, 1, 2, 3, 5, 8, 12, 16, 17, 31)


def text(shape):
    return 'x'.join(map(str, shape)) if shape else 'scalar'


def random_shape(r, least=1, most=4):
    return [batch(r)] + [r.choice([1, 2, 3, 4, 5, 7]) for _ in range(r.randint(least, most) - 1)]


def broadcast_pair(r):
    """Two shapes that stretch to one: some sizes 1, leading dimensions left out on one side."""
    whole = random_shape(r)
    a, b = [[1 if r.random() < 0.3 else size for size in whole] for _ in 'ab']
    b = b[r.randint(0, len(b)):]
    return r.choice([(a, b), (b, a), (whole, whole)])


def two(name, second=''):
    def case(r):
        a, b = broadcast_pair(r)
        return f'{name} : {text(a)} {text(b)}{second}'
    return case


def with_number(name, option):
    return lambda r: f'{name} {option}={r.choice([-2.5, -0.3, 0.1, 1.5, 3])} : {text(random_shape(r))}*2'


def one(name, spread=''):
    return lambda r: f'{name} : {text(random_shape(r))}{spread}'


def reduction(name):
    def case(r):
        shape = random_shape(r)
        dims = sorted(r.sample(range(len(shape)), r.randint(0, len(shape))))
        options = f'dims={",".join(map(str, dims))} keep={r.randint(0, 1)} ' if dims else ''
        return f'{name} {options}: {text(shape)}*1+0.5'  # not around 0: a sum that is nearly 0 has no relative error
    return case


def along(name, option='dim', spread=''):
    def case(r):
        shape = random_shape(r, 2)
        return f'{name} {option}={r.randint(-len(shape), len(shape) - 1)} : {text(shape)}{spread}'
    return case


def reshape(r):
    shape = random_shape(r, 2)
    to = shape[:]
    r.shuffle(to)
    to[r.randrange(len(to))] = -1
    return f'reshape to={text(to)} : {text(shape)}'


def transpose(r):
    shape = random_shape(r, 2)
    return f'transpose a={r.randrange(len(shape))} b={r.randrange(len(shape))} : {text(shape)}'


def concat(r):
    shape, dim = random_shape(r, 2), r.randint(0, 1)
    parts = [shape[:dim] + [r.choice([1, 3, 16, 17])] + shape[dim + 1:] for _ in range(r.randint(1, 5))]
    return f'concat dim={dim} : ' + ' '.join(map(text, parts))


def narrow(r):
    shape = random_shape(r)
    dim = r.randrange(len(shape))
    start = r.randrange(shape[dim])
    return f'narrow dim={dim} start={start} length={r.randint(1, shape[dim] - start)} : {text(shape)}'


def matmul(r):
    m, k, p = [r.choice([1, 3, 15, 16, 17, 33, 50]) for _ in range(3)]
    return f'matmul : {m}x{k} {k}x{p}'


def linear(r):
    features, outputs = [r.choice([1, 3, 10, 33, 50, 150]) for _ in range(2)]
    bias = r.choice(['none', str(outputs)])
    return f'linear relu={r.randint(0, 1)} : {batch(r)}x{features} {outputs}x{features} {bias}'


def out_size(size, kernel, stride, padding, dilation):
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def conv_text(r, n, c, h, w, o, kh, kw, stride=1, padding=0, dilation=1, groups=1):
    """None where PyTorch would refuse it, or it is too large to be worth the time."""
    oh, ow = [out_size(size, k, stride, padding, dilation) for size, k in ((h, kh), (w, kw))]
    if oh < 1 or ow < 1 or max(n * c * h * w, n * o * oh * ow) > MOST_VALUES:
        return None
    return (f'conv2d stride={stride} padding={padding} dilation={dilation} groups={groups} relu={r.randint(0, 1)} '
            f'statistics={r.randint(0, 1)} : {n}x{c}x{h}x{w} {o}x{c // groups}x{kh}x{kw} {r.choice(["none", str(o)])}')


def conv2d(r):
    groups = r.choice([1, 1, 1, 2, 3, 8])
    c, o = [groups * channels(r) for _ in 'co']
    kh, kw = r.choice([(1, 1), (3, 3), (3, 3), (2, 2), (5, 5), (7, 7), (1, 3), (3, 1), (4, 2)])
    return conv_text(r, batch(r), c, side(r), side(r), o, kh, kw, r.choice([1, 1, 2, 3]), r.choice([0, 0, 1, 2, 3]),
                     r.choice([1, 1, 2, 3]), groups) or conv2d(r)


def conv2d_pooled(r):
    """In double alone: a float's rounding may choose another of two values that are close."""
    case = conv2d_winograd(r)
    front, h, w = re.match(r'conv2d (.* : \d+x\d+x(\d+)x(\d+) .*)', case).groups()
    return f'conv2d max_pool=2 {front}' if min(int(h), int(w)) >= 6 else conv2d_pooled(r)


def conv2d_winograd(r):
    """Winograd's shapes and those next to them: fewer channels, no multiple of 4, maps that fill no tile."""
    c, o = [r.choice([28, 31, 32, 32, 32, 33, 34, 36, 48, 64, 68]) for _ in 'co']
    stride, dilation = r.choice([(1, 1)] * 8 + [(2, 1), (1, 2)])
    return conv_text(r, batch(r), c, side(r) + 2, side(r) + 2, o, 3, 3, stride, r.choice([0, 0, 1, 2]),
                     dilation) or conv2d_winograd(r)


def pool(name):
    def case(r):
        h, w = side(r), side(r)
        kernel = r.randint(1, min(4, h, w))
        return (f'{name} kernel={kernel} stride={r.randint(1, 3)} padding={r.randint(0, kernel // 2)} : '
                f'{batch(r)}x{channels(r)}x{h}x{w}')
    return case


def images(name):
    return lambda r: f'{name} : {batch(r)}x{channels(r)}x{side(r)}x{side(r)}'


def batch_norm2d(r):
    """In training with more than a few values a channel: of fewer, the gradient of x cancels to nothing."""
    n, c, h, w, training = batch(r), channels(r), side(r), side(r), r.randint(0, 1)
    if training and n * h * w < 16:
        return batch_norm2d(r)
    factors = r.choice([f'{c}*0.5+1 {c}', 'none none'])
    running = 'none none' if training and r.random() < 0.2 else f'~{c} ~{c}*0.25+1'
    options = f'momentum={r.choice([0.1, 0.25])} eps={r.choice([1e-5, 0.01])} dropout={r.choice([0, 0, 0.25])}'
    return f'batch_norm2d training={training} {options} : {n}x{c}x{h}x{w}*2+1 {factors} {running}'


def dropout(r):
    return f'dropout p={r.choice([0, 0.125, 0.5, 0.75])} seed={r.randint(1, 9)} : {text(random_shape(r))}'


def classes(name, spread=''):
    def case(r):
        n, c = batch(r), r.choice([1, 2, 3, 10, 100])
        smoothing = f'label_smoothing={r.choice([0, 0.125, 1])} ' if name == 'cross_entropy' else ''
        return f'{name} {smoothing}: {n}x{c}{spread} labels:{n}/{c}'
    return case


def mse_loss(r):
    shape = text(random_shape(r))
    return f'mse_loss : {shape} {r.choice(["", "~"])}{shape}'


# What makes a case, by op; and the convolutions, that come as often as all others together.
CONVOLUTIONS = {'float': [conv2d, conv2d, conv2d_winograd], 'double': [conv2d, conv2d_winograd, conv2d_pooled]}
GENERATORS = {
    'add': two('add'), 'sub': two('sub'), 'mul': two('mul'), 'div': two('div', '*0.5+1.5'),
    'add_scalar': with_number('add_scalar', 's'), 'sub_scalar': with_number('sub_scalar', 's'),
    'mul_scalar': with_number('mul_scalar', 's'), 'div_scalar': with_number('div_scalar', 's'),
    'neg': one('neg'), 'exp': one('exp', '*8'), 'log': one('log', '*2+2.5'), 'sqrt': one('sqrt', '*2+2.5'),
    'square': one('square'), 'abs': one('abs'), 'tanh': one('tanh', '*2'), 'sigmoid': one('sigmoid', '*4'),
    'relu': one('relu'), 'leaky_relu': with_number('leaky_relu', 'slope'), 'sum': reduction('sum'),
    'mean': reduction('mean'), 'reshape': reshape, 'flatten': lambda r: f'flatten : {text(random_shape(r, 2))}',
    'transpose': transpose, 'concat': concat, 'narrow': narrow, 'matmul': matmul, 'linear': linear, 'conv2d': conv2d,
    'max_pool2d': pool('max_pool2d'), 'avg_pool2d': pool('avg_pool2d'),
    'global_avg_pool2d': images('global_avg_pool2d'), 'batch_norm2d': batch_norm2d, 'dropout': dropout,
    'softmax': along('softmax', spread='*4'), 'log_softmax': along('log_softmax', spread='*4'),
    'nll_loss': classes('nll_loss', '-2'), 'cross_entropy': classes('cross_entropy', '*4'), 'mse_loss': mse_loss,
    'argmax': along('argmax'),
}


def random_cases(count, seed, precision):
    r = random.Random(seed)
    kinds = list(GENERATORS.values())
    return [r.choice(CONVOLUTIONS[precision])(r) if i % 2 else kinds[i // 2 % len(kinds)](r) for i in range(count)]


def ops_of_header():
    with open('autograd/ops.h') as file:
        return set(re.findall(r'^Tensor \*op_(\w+?)(?:_with)?\(', file.read(), re.M))


# ---- What PyTorch computes ----

def relu_of(y, mine):
    """relu, whose gradient goes where Weft's result is not 0: on which side of 0 is what lies within rounding of it, is
    for Weft to say."""
    passed = torch.where(mine != 0, y, torch.zeros_like(y))
    return passed + (F.relu(y) - passed).detach()


def dropout_of(y, p, mine):
    """Drops what Weft's generator dropped, which has to be about the right share: within 6 deviations."""
    share, deviation = (mine != 0).double().mean().item(), (p * (1 - p) / mine.numel()) ** 0.5
    factor = 1 / (1 - p) if abs(share - (1 - p)) <= 6 * deviation else float('nan')
    return torch.where(mine != 0, y * factor, torch.zeros_like(y))


def reference(name, inputs, options, mine):
    """The results of an op; `mine` are the values of Weft's."""
    if name == 'conv2d':
        results = F.conv2d(*inputs, **make.conv_options(options))
        if 'max_pool' in options:
            results = F.max_pool2d(F.relu(results) if int(options['relu']) else results, int(options['max_pool']))
            options['relu'] = 0
    elif name == 'linear':
        results = F.linear(*inputs)
    elif name == 'dropout':
        results = inputs[0]
    else:
        results = make.OPS[name](inputs, options)
    results = results if isinstance(results, list) else [results]
    mine = mine.reshape(results[0].shape)
    if int(options.get('relu', 0)):
        results[0] = relu_of(results[0], mine)
    drop = float(options.get('p', options.get('dropout', 0)))
    if drop:
        results[0] = dropout_of(results[0], drop, mine)
    return results


# ---- Comparing ----

def read_tensor(stream):
    """The next tensor that the driver writes."""
    count = int.from_bytes(stream.read(8), sys.byteorder)
    return torch.from_numpy(numpy.frombuffer(bytearray(stream.read(8 * count)), numpy.float64))


def error_of(mine, theirs):
    """The largest difference over the largest value; NaN if any is."""
    largest = theirs.abs().max().item()
    return (mine - theirs.detach().reshape(-1)).abs().max().item() / (largest or 1)


def errors_of_case(case, stream):
    """Of the results, then of the gradients."""
    name, options, inputs, wanted = make.parse_case(case)
    mine = read_tensor(stream)
    results = reference(name, inputs, options, mine)
    errors = [error_of(mine if i == 0 else read_tensor(stream), result) for i, result in enumerate(results)]
    if results[0].requires_grad:
        results[0].backward(make.tensor(list(results[0].shape), make.OUTPUT_STREAM))
        errors += [error_of(read_tensor(stream), t.grad) for t, wants in zip(inputs, wanted) if wants]
    return errors


def may_use_winograd(case):
    match = re.match(r'conv2d .*stride=1 .*dilation=1 groups=1 .*x(\d+)x\d+x\d+ (\d+)x\d+x3x3 ', case)
    return bool(match) and min(map(int, match.groups())) >= 32


def compare_ops(driver, precision, count, seed):
    """Every case, and a word on the worst of each kind. Returns how many passed and failed."""
    missing = ops_of_header() ^ set(GENERATORS)
    cases, failed, worst = random_cases(count, seed, precision), 0, {}
    if missing:
        print(f'FAIL parity: no cases of {missing}')
    with tempfile.TemporaryFile() as stream:
        subprocess.run([driver, 'ops'], input='\n'.join(cases).encode(), stdout=stream, check=True)
        stream.seek(0)
        for case in cases:
            kind = 'Winograd' if may_use_winograd(case) else 'direct'
            error = max(errors_of_case(case, stream), key=lambda e: e if e == e else float('inf'))
            worst[kind] = max(worst.get(kind, (0, '')), (error, case))
            if not error <= TOLERANCE[precision][kind]:
                failed += 1
                print(f'FAIL parity: {case}: off by {error:.2g} of the largest')
    for kind, (error, case) in worst.items():
        print(f'{precision}, seed {seed}, {kind}: {error:.2g} at worst, in {case}')
    return len(cases) - failed, failed + bool(missing)


def compare_training(driver, precision, network, steps, size):
    """The loss of each step of a training with momentum, weight decay and one cycle, as tests/parity.c has it."""
    arguments = [driver, 'train', network, str(steps), str(size)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        mine = read_tensor(process.stdout)
    model = {'cnn': make.Cnn, 'tiny': make.Tiny}[network]()
    make.set_weights(model)
    sgd = torch.optim.SGD(model.parameters(), lr=PEAK_LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(sgd, PEAK_LR, total_steps=steps)
    losses = []
    for step in range(steps):
        turn = step % make.BATCHES
        loss = make.loss_of(model, size, make.IMAGE_STREAM + turn, make.LABEL_STREAM + turn)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(loss.item())
        if step + 1 < steps:
            schedule.step()
    differences = (mine - torch.tensor(losses)).abs()
    failed = int((~(differences <= LOSS_TOLERANCE)).sum())
    print(f'{network}, {precision}: {steps} losses, from {losses[0]:.4f} to {losses[-1]:.4f}, '
          f'{differences.max().item():.2g} off at worst')
    return steps - failed, failed


def main():
    commands = {'ops': compare_ops, 'train': compare_training}
    if len(sys.argv) < 6 or sys.argv[3] not in commands:
        sys.exit(__doc__)
    driver, precision, command, *rest = sys.argv[1:]
    passed, failed = commands[command](driver, precision, *[int(word) if word.isdigit() else word for word in rest])
    print(f'{passed} passed, {failed} failed')
    sys.exit(failed != 0)


if __name__ == '__main__':
    main()
