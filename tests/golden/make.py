#!/usr/bin/env python3
"""Writes the golden files of this folder with PyTorch in float64: see tests/test_golden.c, which reads them.

usage: make.py      ops.txt, sgd.txt, schedules.txt, mnist_cnn.txt, mnist_tiny.txt, beside this script

Inputs, weights, images and labels come from an integer hash that tests/numbers.c has too (test_number), so that only
results are stored: of each tensor its "digest", which is its largest absolute value and, up to 48 values, all of
them; beyond that 24 of them, evenly spread, and its dot products with 8 hash vectors. A line holds one digest.
"""
import os
import platform
import sys

import numpy
import torch
from torch import nn
from torch.nn import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
DIGEST_ALL, DIGEST_SAMPLES, DIGEST_PRODUCTS, DIGEST_STREAM, OUTPUT_STREAM = 48, 24, 8, 200, 100
torch.set_default_dtype(torch.float64)


# ---- What the C tests share ----

def mix(x):
    """The finaliser of MurmurHash3, on an array of 32-bit words."""
    x = (x ^ x >> 16) * 0x85ebca6b & 0xffffffff
    x = (x ^ x >> 13) * 0xc2b2ae35 & 0xffffffff
    return x ^ x >> 16


def numbers(stream, count):
    """test_number(stream, i) for i below count."""
    bits = mix((mix(numpy.arange(count, dtype=numpy.uint64)) + stream * 0x9e3779b9) & 0xffffffff) >> 8
    return bits.astype(numpy.float64) / 2**23 - 1


def tensor(shape, stream, scale=1.0, offset=0.0):
    """Hash values rounded to float, so that both precisions start from the same."""
    count = int(numpy.prod(shape, dtype=numpy.int64))
    values = (offset + scale * numbers(stream, count)).astype(numpy.float32).astype(numpy.float64)
    return torch.from_numpy(values.reshape(shape))


def labels(count, classes, stream):
    return torch.from_numpy(numpy.floor((numbers(stream, count) + 1) / 2 * classes).astype(numpy.int64))


def digest(t):
    values = t.detach().double().contiguous().numpy().ravel()
    count = len(values)
    numbers_ = [float(numpy.abs(values).max())]
    if count <= DIGEST_ALL:
        numbers_ += values.tolist()
    else:
        numbers_ += [values[i * count // DIGEST_SAMPLES] for i in range(DIGEST_SAMPLES)]
        numbers_ += [numpy.dot(numbers(DIGEST_STREAM + p, count), values) for p in range(DIGEST_PRODUCTS)]
    return f'{count} ' + ' '.join(f'{x:.17g}' for x in numbers_)


def header():
    return (f'# PyTorch {torch.__version__}, NumPy {numpy.__version__}, Python {platform.python_version()}; '
            'written by tests/golden/make.py\n')


# ---- Ops ----

def dims(text):
    return [int(d) for d in text.split(',')] if text else None


def run_batch_norm(x, w, b, mean, var, o):
    mean, var = [None if r is None else r.detach().clone() for r in (mean, var)]
    y = F.batch_norm(x, mean, var, w, b, training=bool(int(o.get('training', 0))),
                     momentum=float(o.get('momentum', 0.1)), eps=float(o.get('eps', 1e-5)))
    return [y] if mean is None else [y, mean, var]


def run_reduce(f, x, o):
    return f(x, dims(o['dims']), keepdim=bool(int(o.get('keep', 0)))) if 'dims' in o else f(x)


def relu_if(y, o):
    return F.relu(y) if int(o.get('relu', 0)) else y


def conv_options(o):
    return {k: int(o.get(k, v)) for k, v in [('stride', 1), ('padding', 0), ('dilation', 1), ('groups', 1)]}


def pool_options(o):
    return {'kernel_size': int(o['kernel']), 'stride': int(o.get('stride', o['kernel'])),
            'padding': int(o.get('padding', 0))}


OPS = {
    'add': lambda i, o: i[0] + i[1],
    'sub': lambda i, o: i[0] - i[1],
    'mul': lambda i, o: i[0] * i[1],
    'div': lambda i, o: i[0] / i[1],
    'add_scalar': lambda i, o: i[0] + float(o['s']),
    'sub_scalar': lambda i, o: i[0] - float(o['s']),
    'mul_scalar': lambda i, o: i[0] * float(o['s']),
    'div_scalar': lambda i, o: i[0] / float(o['s']),
    'neg': lambda i, o: -i[0],
    'exp': lambda i, o: i[0].exp(),
    'log': lambda i, o: i[0].log(),
    'sqrt': lambda i, o: i[0].sqrt(),
    'square': lambda i, o: i[0].square(),
    'abs': lambda i, o: i[0].abs(),
    'tanh': lambda i, o: i[0].tanh(),
    'sigmoid': lambda i, o: i[0].sigmoid(),
    'relu': lambda i, o: F.relu(i[0]),
    'leaky_relu': lambda i, o: F.leaky_relu(i[0], float(o['slope'])),
    'sum': lambda i, o: run_reduce(torch.sum, i[0], o),
    'mean': lambda i, o: run_reduce(torch.mean, i[0], o),
    'reshape': lambda i, o: i[0].reshape([int(d) for d in o['to'].split('x')]),
    'flatten': lambda i, o: i[0].flatten(1),
    'transpose': lambda i, o: i[0].transpose(int(o['a']), int(o['b'])),
    'concat': lambda i, o: torch.cat(i, int(o['dim'])),
    'narrow': lambda i, o: i[0].narrow(int(o['dim']), int(o['start']), int(o['length'])),
    'matmul': lambda i, o: i[0] @ i[1],
    'linear': lambda i, o: relu_if(F.linear(i[0], i[1], i[2]), o),
    'conv2d': lambda i, o: relu_if(F.conv2d(i[0], i[1], i[2], **conv_options(o)), o),
    'max_pool2d': lambda i, o: F.max_pool2d(i[0], **pool_options(o)),
    'avg_pool2d': lambda i, o: F.avg_pool2d(i[0], **pool_options(o)),
    'global_avg_pool2d': lambda i, o: F.adaptive_avg_pool2d(i[0], 1),
    'batch_norm2d': lambda i, o: run_batch_norm(*i, o),
    'softmax': lambda i, o: F.softmax(i[0], int(o['dim'])),
    'log_softmax': lambda i, o: F.log_softmax(i[0], int(o['dim'])),
    'nll_loss': lambda i, o: F.nll_loss(i[0], i[1]),
    'cross_entropy': lambda i, o: F.cross_entropy(i[0], i[1], label_smoothing=float(o.get('label_smoothing', 0))),
    'mse_loss': lambda i, o: F.mse_loss(i[0], i[1]),
    'argmax': lambda i, o: i[0].argmax(int(o['dim'])).double(),
}

CASES = '''
add : 17x3x2 17x3x2
add : 18x3x2 3x1
sub : 3x1x2 5x1x4x1
sub : 5 3x1
mul : 17x3x2 17x1x2
mul : scalar 3x2
div : 17x3 17x3*0.5+1
div : 2x1x4 3x1*0.5-2
add_scalar s=1.5 : 17x3
sub_scalar s=1.5 : 17x3
mul_scalar s=-2.5 : 17x3
div_scalar s=3 : 17x3
neg : 7
exp : 17x5*8
log : 17x5+1.0625
sqrt : 17x5+1.0625
square : 17x5
abs : 17x5
tanh : 17x5*4
sigmoid : 17x5*8
relu : 17x5
leaky_relu slope=0.125 : 17x5
sum : 17x3x2
sum dims=0 : 33x3x2
sum dims=0,2 keep=1 : 17x3x2
sum dims=1 : 17x3x2
mean : 17x3x2
mean dims=0,2,3 : 18x3x4x2
mean dims=1 keep=1 : 17x3x2
reshape to=17x3x2 : 17x6
reshape to=2x3x17 : 17x6
reshape to=6x-1 : 17x6
flatten : 17x2x3x2
transpose a=0 b=1 : 17x18
transpose a=1 b=3 : 17x2x3x4
concat dim=0 : 17x3 2x3 5x3
concat dim=1 : 17x3 17x2 17x5
narrow dim=0 start=3 length=17 : 40x3
narrow dim=1 start=1 length=2 : 17x4x2
matmul : 17x18 18x19
matmul : 5x33 33x4
linear : 17x33 20x33 20
linear : 17x5 3x5 none
linear relu=1 : 20x50 10x50 10
conv2d : 17x3x8x7 5x3x3x3 5
conv2d relu=1 : 20x1x12x12 8x1x3x3 8
conv2d relu=1 : 3x32x14x14 32x32x3x3 32
conv2d : 2x64x7x9 48x64x3x3*0.25 48
conv2d padding=1 : 18x16x9x6 24x16x3x3 24
conv2d : 17x16x5x5 8x16x1x1 8
conv2d stride=2 : 17x3x9x8 4x3x3x3 4
conv2d stride=2 padding=1 dilation=2 groups=2 relu=1 : 17x4x9x8 6x2x3x3 6
conv2d groups=4 padding=2 : 5x4x6x6 8x1x5x5 8
conv2d dilation=3 padding=3 : 5x2x8x7 3x2x3x2 none
max_pool2d kernel=2 : 17x3x8x6
max_pool2d kernel=3 stride=2 padding=1 : 17x3x8x7
max_pool2d kernel=3 stride=1 : 5x3x6x5
avg_pool2d kernel=3 : 17x3x9x3
avg_pool2d kernel=2 stride=2 : 17x3x7x6
avg_pool2d kernel=3 stride=2 padding=1 : 17x3x8x7
global_avg_pool2d : 17x5x3x4
batch_norm2d training=1 : 20x5x4x3 5*0.5+1 5 ~5 ~5*0.25+1
batch_norm2d training=1 momentum=0.25 eps=0.01 : 17x3x4x3*2+4 3 3 ~3 ~3*0.25+1
batch_norm2d training=1 : 33x3x2x5 none none ~3 ~3*0.25+1
batch_norm2d training=1 : 17x3x2x5 3 3 none none
batch_norm2d : 20x5x4x3 5*0.5+1 5 ~5 ~5*0.25+1
softmax dim=1 : 17x10*8
softmax dim=0 : 17x3
softmax dim=2 : 5x3x4x2
log_softmax dim=1 : 17x10*8
log_softmax dim=-1 : 5x3x4
nll_loss : 17x10 labels:17/10
cross_entropy : 17x10*4 labels:17/10
cross_entropy label_smoothing=0.125 : 20x10*4 labels:20/10
mse_loss : 17x3x2 17x3x2
argmax dim=1 : 17x10
argmax dim=0 : 17x3
'''


def parse_shape(text):
    return [] if text == 'scalar' else [int(d) for d in text.split('x')]


def parse_input(text, stream):
    """An input of the notation of tests/cases.h, and whether it wants a gradient."""
    if text == 'none':
        return None, False
    if text.startswith('labels:'):
        count, classes = text[len('labels:'):].split('/')
        return labels(int(count), int(classes), stream), False
    wants = text[0] != '~'
    text = text.lstrip('~')
    offset = 0.0
    for sign in '+-':
        if sign in text:
            text, number = text.split(sign)
            offset = float(sign + number)
    text, _, scale = text.partition('*')
    return tensor(parse_shape(text), stream, float(scale or 1), offset).requires_grad_(wants), wants


def parse_case(case):
    """The op's name, its options, its inputs, and which of them want a gradient."""
    front, back = case.split(' : ')
    name, *options = front.split()
    inputs = [parse_input(text, stream) for stream, text in enumerate(back.split())]
    return name, dict(option.split('=') for option in options), [t for t, _ in inputs], [wants for _, wants in inputs]


def case_lines(case):
    """The case, a digest of each output (the result; running statistics) and of each input's gradient."""
    name, options, tensors, wanted = parse_case(case)
    outputs = OPS[name](tensors, options)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    if outputs[0].requires_grad and name != 'argmax':
        outputs[0].backward(tensor(list(outputs[0].shape), OUTPUT_STREAM))
    lines = [f'case {case}']
    lines += [f'output {digest(output)}' for output in outputs]
    lines += [f'grad {i} {digest(t.grad)}' for i, t in enumerate(tensors) if wanted[i] and t.grad is not None]
    return '\n'.join(lines) + '\n'


# ---- Optimisers and schedules, 20 steps ----

STEPS = 20
SGD = [
    dict(lr=0.1),
    dict(lr=0.1, weight_decay=0.01),
    dict(lr=0.1, momentum=0.9),
    dict(lr=0.05, momentum=0.9, weight_decay=1e-4),
    dict(lr=0.05, momentum=0.9, dampening=0.5, weight_decay=0.01),
    dict(lr=0.05, momentum=0.9, nesterov=True),
    dict(lr=0.05, momentum=0.8, nesterov=True, weight_decay=0.01),
]


def sgd_lines(options):
    """Two parameters under gradients from the hash; the second has none at every third step."""
    parameters = [tensor(shape, i).requires_grad_() for i, shape in enumerate([[5, 7], [17]])]
    sgd = torch.optim.SGD(parameters, **options)
    for step in range(STEPS):
        sgd.zero_grad(set_to_none=True)
        for i, p in enumerate(parameters):
            if i == 0 or step % 3 != 2:
                p.grad = tensor(list(p.shape), 10 + 2 * step + i)
        sgd.step()
    values = ' '.join(f'{float(options.get(k, 0)):.17g}'
                      for k in ('lr', 'momentum', 'weight_decay', 'dampening', 'nesterov'))
    return f'sgd {values}\n' + ''.join(f'parameter {digest(p)}\n' for p in parameters)


SCHEDULES = [
    ('step', dict(lr=0.1, step_size=7, gamma=0.5)),
    ('step', dict(lr=0.05, step_size=3, gamma=0.1)),
    ('one_cycle', dict(lr=0.1, total_steps=20, warmup=0.3, start_divisor=25, final_divisor=1e4, cycle=1)),
    ('one_cycle', dict(lr=0.05, total_steps=20, warmup=0.25, start_divisor=10, final_divisor=100, cycle=0)),
    ('one_cycle', dict(lr=0.1, total_steps=23, warmup=0.4, start_divisor=25, final_divisor=1e4, cycle=1)),
]


def schedule_lines(kind, o):
    sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=o['lr'], momentum=0.9)
    if kind == 'step':
        schedule = torch.optim.lr_scheduler.StepLR(sgd, o['step_size'], o['gamma'])
    else:
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            sgd, o['lr'], total_steps=o['total_steps'], pct_start=o['warmup'], div_factor=o['start_divisor'],
            final_div_factor=o['final_divisor'], cycle_momentum=bool(o['cycle']))
    lines = [f'schedule {kind} ' + ' '.join(f'{float(v):.17g}' for v in o.values())]
    for step in range(STEPS):
        group = sgd.param_groups[0]
        lines.append(f'{group["lr"]:.17g} {group["momentum"]:.17g}')
        sgd.step()
        if step + 1 < STEPS:
            schedule.step()
    return '\n'.join(lines) + '\n'


# ---- The two seed networks ----

margins = []  # how far the values at kinks are from them, relative to the deviation of all


def relu(x):
    margins.append((x.abs().min() / x.std()).item())
    return F.relu(x)


def max_pool(x):
    largest = F.unfold(x.reshape(-1, 1, *x.shape[2:]), 2, stride=2).topk(2, 1).values
    gaps = largest[:, 0] - largest[:, 1]
    if (gaps > 0).any():  # ties have no margin: the first wins, whatever the rounding
        margins.append((gaps[gaps > 0].min() / x.std()).item())
    return F.max_pool2d(x, 2)


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.conv3, self.conv4 = nn.Conv2d(64, 128, 3), nn.Conv2d(128, 256, 3)
        self.fc1, self.fc2 = nn.Linear(4096, 50), nn.Linear(50, 10)

    def forward(self, x):
        x = relu(max_pool(self.conv2(relu(self.conv1(x)))))
        x = relu(max_pool(self.conv4(relu(self.conv3(x)))))
        return F.log_softmax(self.fc2(relu(self.fc1(x.flatten(1)))), 1)


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        shapes = [(1, 8, 3), (8, 12, 3), (12, 16, 3), (16, 8, 1), (8, 12, 3), (12, 16, 3), (16, 16, 3), (16, 16, 3)]
        for i, (inputs, outputs, kernel) in enumerate(shapes, 1):
            setattr(self, f'conv{i}', nn.Conv2d(inputs, outputs, kernel))
            setattr(self, f'bn{i}', nn.BatchNorm2d(outputs))
        self.conv9 = nn.Conv2d(16, 10, 1)

    def forward(self, x):
        for i in range(1, 9):
            x = getattr(self, f'bn{i}')(relu(getattr(self, f'conv{i}')(x)))
            if i == 3:
                x = max_pool(x)
        return F.log_softmax(F.avg_pool2d(self.conv9(x), 3).flatten(1), 1)


TRAINING_STEPS, BATCH, BATCHES, IMAGE_STREAM, LABEL_STREAM, WEIGHT_STREAM = 100, 20, 5, 300, 400, 500
# The one step that float is compared on: few images, and of the streams 600, 602, ..., 678 those that keep all values
# farthest from kinks, where the gradient of a float network rightly jumps.
FIRST_BATCH, MARGIN = 3, 2e-5
FIRST_STREAM = {'Cnn': 674, 'Tiny': 628}


def set_weights(model):
    """Parameter i from stream 500 + i: a weight of f inputs within 1 / sqrt(f), a vector (bias, batch-norm weight and
    bias) within 0.1 of 0, or of 1 for batch norm's weight."""
    with torch.no_grad():
        for i, (name, p) in enumerate(model.named_parameters()):
            scale = 0.1 if p.dim() == 1 else 1 / numpy.sqrt(float(numpy.prod(p.shape[1:])))
            offset = 1.0 if name.startswith('bn') and name.endswith('weight') else 0.0
            p.copy_(tensor(list(p.shape), WEIGHT_STREAM + i, scale, offset))


def loss_of(model, count, image_stream, label_stream):
    return F.nll_loss(model(tensor([count, 1, 28, 28], image_stream, 2.0)), labels(count, 10, label_stream))


def first_lines(model):
    """Loss and gradients of one step in training mode."""
    set_weights(model)
    margins.clear()
    stream = FIRST_STREAM[type(model).__name__]
    loss = loss_of(model, FIRST_BATCH, stream, stream + 1)
    loss.backward()
    assert min(margins) > MARGIN, min(margins)
    lines = [f'first {stream} {loss.item():.17g}']
    return lines + [f'grad {name} {digest(p.grad)}' for name, p in model.named_parameters()]


def training_lines(new):
    """One step's gradients; losses of 100 steps over 5 batches in turn; everything after the last."""
    lines = first_lines(new())
    model = new()
    set_weights(model)
    sgd = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
    losses = []
    for step in range(TRAINING_STEPS):
        loss = loss_of(model, BATCH, IMAGE_STREAM + step % BATCHES, LABEL_STREAM + step % BATCHES)
        sgd.zero_grad()
        loss.backward()
        losses.append(loss.item())
        sgd.step()
    lines.append('losses ' + ' '.join(f'{loss:.17g}' for loss in losses))
    lines += [f'final {name} {digest(p)}' for name, p in model.named_parameters()]
    lines += [f'buffer {name} {digest(b)}' for name, b in model.named_buffers()]
    return '\n'.join(lines) + '\n'


def write(name, text):
    with open(os.path.join(HERE, name), 'w') as file:
        file.write(header() + text)


def main():
    if len(sys.argv) != 1:
        sys.exit(__doc__)
    write('ops.txt', ''.join(case_lines(case) for case in CASES.strip().split('\n')))
    write('sgd.txt', ''.join(sgd_lines(options) for options in SGD))
    write('schedules.txt', ''.join(schedule_lines(*schedule) for schedule in SCHEDULES))
    write('mnist_cnn.txt', training_lines(Cnn))
    write('mnist_tiny.txt', training_lines(Tiny))


if __name__ == '__main__':
    main()
