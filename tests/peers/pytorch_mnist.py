#!/usr/bin/env python3
"""PyTorch's side of tests/compare.sh: the two networks of apps/, trained as `--no-augment` does there.

usage: pytorch_mnist.py train NETWORK DATA LIMIT EPOCHS THREADS [--channels-last]
       pytorch_mnist.py latency NETWORK THREADS        prints the median milliseconds of one image
       pytorch_mnist.py export NETWORK FILE.onnx       random weights, batch of any size

NETWORK is mnist_cnn or mnist_tiny. So that PyTorch is at its best, the images are one tensor that is normalised
beforehand, a batch is one indexing, and nothing is tested between epochs.
"""
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

BATCH, SIDE, MEAN, DEVIATION = 128, 28, 0.1307, 0.3081


class Flat(nn.Module):
    """Log-probabilities of what a chain of layers makes of the images."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return F.log_softmax(self.layers(x).flatten(1), 1)


def mnist_cnn():
    return Flat(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.MaxPool2d(2), nn.ReLU(),
                nn.Conv2d(64, 128, 3), nn.ReLU(), nn.Conv2d(128, 256, 3), nn.MaxPool2d(2), nn.ReLU(),
                nn.Flatten(), nn.Linear(4096, 50), nn.ReLU(), nn.Linear(50, 10))


def mnist_tiny(dropout=0.03):
    def block(inputs, outputs, kernel):
        return nn.Conv2d(inputs, outputs, kernel), nn.ReLU(), nn.BatchNorm2d(outputs), nn.Dropout(dropout)
    return Flat(*block(1, 8, 3), *block(8, 12, 3), *block(12, 16, 3), nn.MaxPool2d(2), *block(16, 8, 1),
                *block(8, 12, 3), *block(12, 16, 3), *block(16, 16, 3), *block(16, 16, 3), nn.Conv2d(16, 10, 1),
                nn.AvgPool2d(3))


NETWORKS = {'mnist_cnn': mnist_cnn, 'mnist_tiny': mnist_tiny}


def read_bytes(path, header, count):
    with open(path, 'rb') as file:
        file.seek(header)
        return torch.frombuffer(bytearray(file.read(count)), dtype=torch.uint8)


def training_set(folder, limit):
    images = read_bytes(f'{folder}/train-images-idx3-ubyte', 16, limit * SIDE * SIDE)
    labels = read_bytes(f'{folder}/train-labels-idx1-ubyte', 8, limit)
    return (images.view(-1, 1, SIDE, SIDE).float() / 255 - MEAN) / DEVIATION, labels.long()


def train(network, folder, limit, epochs, channels_last):
    images, labels = training_set(folder, limit)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    net = network().to(memory_format=layout)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    steps = epochs * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            loss = F.nll_loss(net(images[batch].contiguous(memory_format=layout)), labels[batch])
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f'loss {loss.item():.4f}', flush=True)


def latency(network):
    net, image, times = network().eval(), torch.randn(1, 1, SIDE, SIDE), []
    with torch.no_grad():
        for _ in range(350):
            start = time.perf_counter()
            net(image)
            times.append(time.perf_counter() - start)
    print(f'{1e3 * statistics.median(times[50:]):.4f}')


def export(network, path):
    torch.onnx.export(network().eval(), torch.randn(1, 1, SIDE, SIDE), path, input_names=['x'], output_names=['y'],
                      dynamic_axes={'x': {0: 'n'}, 'y': {0: 'n'}})


def main(what, name, *rest):
    torch.manual_seed(1)
    if what == 'export':
        export(NETWORKS[name], *rest)
    elif what == 'latency':
        torch.set_num_threads(int(rest[0]))
        latency(NETWORKS[name])
    elif what == 'train':
        folder, limit, epochs, threads = rest[:4]
        torch.set_num_threads(int(threads))
        train(NETWORKS[name], folder, int(limit), int(epochs), '--channels-last' in rest)
    else:
        sys.exit(__doc__)


if __name__ == '__main__':
    main(*(sys.argv[1:] if len(sys.argv) > 3 else ['', '']))
