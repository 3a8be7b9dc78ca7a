/* The two networks of the apps, with weights and data that tests/golden/make.py makes too. */
#ifndef WEFT_TEST_NETWORKS_H
#define WEFT_TEST_NETWORKS_H

#include "nn/nn.h"

/* The model functions of apps/mnist_cnn.c, which has no dropout, and apps/mnist_tiny.c. */
Module *network_cnn(double dropout);
Module *network_tiny(double dropout);

/* Parameter i from stream 500 + i of the hash: a weight of f inputs within 1 / sqrt(f), a vector within 0.1 of 0, or
 * of 1 for batch norm's weight. */
bool network_set_weights(Module *model);
/* The loss of `count` random images with random labels. */
Tensor *network_loss(Module *model, int64_t count, uint32_t image_stream, uint32_t label_stream);

#endif
