#!/usr/bin/env python3
"""PyTorch's side of tests/test_interop.sh: the networks of apps/ as plain modules, weights exchanged both ways.

usage: pytorch_weights.py check NETWORK FOLDER [DATA LAST]   loads FOLDER/NETWORK.safetensors, compares outputs with
                                                             Weft's, which FOLDER/list names, and prints how many of
                                                             DATA's last training images are right
       pytorch_weights.py train NETWORK FOLDER DATA LAST N   trains on the first N images, writes
                                                             FOLDER/NETWORK.safetensors, and prints the same
       pytorch_weights.py readme NETWORK FOLDER < CODE       runs CODE with the network as `net`, beside the file
       pytorch_weights.py golden                             writes tests/golden/pytorch_tiny.*: see tests/test_onnx.c

Reads and writes safetensors by itself: the package of that name need not be installed.
"""
import json
import os
import struct
import sys
import types

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'golden')
sys.path.insert(0, GOLDEN)
import make  # noqa: E402: the folder comes first
import numpy  # noqa: E402
import torch  # noqa: E402
from torch.nn import functional as F  # noqa: E402

TOLERANCE = 1e-5
MEAN, DEVIATION, PIXELS = 0.1307, 0.3081, 28 * 28
BATCH, LR, MOMENTUM = 32, 0.02, 0.9
DTYPES = {'F32': torch.float32, 'I64': torch.int64}
torch.set_default_dtype(torch.float32)


# ---- The package safetensors.torch ----

def load_file(path):
    with open(path, 'rb') as file:
        data = file.read()
    start = 8 + struct.unpack('<Q', data[:8])[0]
    header = json.loads(data[8:start])
    header.pop('__metadata__', None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry['data_offsets']
        values = torch.frombuffer(bytearray(data[start + begin:start + end]), dtype=DTYPES[entry['dtype']])
        tensors[name] = values.reshape(entry['shape'])
    return tensors


def save_file(tensors, path):
    header, values = {'__metadata__': {'format': 'pt'}}, b''
    for name, t in tensors.items():
        kind = next(name for name, dtype in DTYPES.items() if dtype == t.dtype)
        piece = t.detach().contiguous().numpy().tobytes()
        header[name] = {'dtype': kind, 'shape': list(t.shape), 'data_offsets': [len(values), len(values) + len(piece)]}
        values += piece
    text = json.dumps(header).encode()
    with open(path, 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text + values)


# ---- Data ----

def read_idx(path, shape):
    with open(path, 'rb') as file:
        data = numpy.frombuffer(file.read(), dtype=numpy.uint8)
    return torch.from_numpy(data[4 + 4 * data[3]:].copy()).reshape(shape)


def data_set(folder, part):
    images = read_idx(f'{folder}/train-images-idx3-ubyte', (-1, 1, 28, 28))[part].float()
    return (images / 255 - MEAN) / DEVIATION, read_idx(f'{folder}/train-labels-idx1-ubyte', (-1,))[part].long()


def read_values(folder, name, shape):
    return torch.from_numpy(numpy.fromfile(f'{folder}/{name}', dtype='<f4')).reshape([int(n) for n in shape.split('x')])


# ---- What is asked for ----

def new(network):
    torch.manual_seed(1)
    return {'mnist_cnn': make.Cnn, 'mnist_tiny': make.Tiny}[network]()


def count_correct(net, folder, last):
    images, labels = data_set(folder, slice(-int(last), None))
    with torch.no_grad():
        return int((net.eval()(images).argmax(1) == labels).sum())


def check(network, folder, data=None, last=None):
    net = new(network)
    net.load_state_dict(load_file(f'{folder}/{network}.safetensors'))
    net.eval()
    with open(f'{folder}/list') as file:
        runs = [line.split() for line in file if line.startswith(network)]
    for _, inputs, input_shape, outputs, output_shape in runs:
        with torch.no_grad():
            found = net(read_values(folder, inputs, input_shape))
        expected = read_values(folder, outputs, output_shape)
        error = ((found - expected).abs() / expected.abs().clamp(min=1)).max().item()
        if not error <= TOLERANCE:
            sys.exit(f'{inputs}: outputs differ by {error}')
    if not runs:
        sys.exit(f'{folder}/list has no runs of {network}')
    if data:
        print(count_correct(net, data, last))


def train_on(net, images, labels):
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), lr=LR, momentum=MOMENTUM)
    for x, y in zip(images.split(BATCH), labels.split(BATCH)):
        optimizer.zero_grad()
        F.nll_loss(net(x), y).backward()
        optimizer.step()


def train(network, folder, data, last, limit):
    net = new(network)
    train_on(net, *data_set(data, slice(int(limit))))
    save_file(net.state_dict(), f'{folder}/{network}.safetensors')
    print(count_correct(net, data, last))


def readme(network, folder):
    """The README's lines on the real package, or on this file's functions where it is not installed."""
    try:
        import safetensors.torch  # noqa: F401
    except ImportError:
        package, module = types.ModuleType('safetensors'), types.ModuleType('safetensors.torch')
        module.load_file, module.save_file, package.torch = load_file, save_file, module
        sys.modules.update({'safetensors': package, 'safetensors.torch': module})
    os.chdir(folder)
    exec(sys.stdin.read(), {'net': new(network)})


def golden():
    """Weights of a network that has learnt some random images by heart, and what it makes of three of them."""
    net, images, labels = new('mnist_tiny'), make.tensor([64, 1, 28, 28], 700, 2.0).float(), make.labels(64, 10, 701)
    for _ in range(40):
        train_on(net, images, labels)
    save_file(net.state_dict(), f'{GOLDEN}/pytorch_tiny.safetensors')
    with torch.no_grad(), open(f'{GOLDEN}/pytorch_tiny.txt', 'w') as file:
        for row in net.eval()(images[:3]):
            file.write(' '.join(f'{value:.8g}' for value in row.tolist()) + '\n')


if __name__ == '__main__':
    commands = {'check': check, 'train': train, 'readme': readme, 'golden': golden}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    commands[sys.argv[1]](*sys.argv[2:])
