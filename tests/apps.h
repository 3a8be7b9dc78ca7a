/* The two networks, from the apps' own sources: each app's main hands over what it would train. */
#ifndef WEFT_TEST_APPS_H
#define WEFT_TEST_APPS_H

#include "apps/trainer.h"

static TrainerApp handed_over;

static int hand_over(int argc, char **argv, const TrainerApp *app)
{
    (void)argc, (void)argv;
    handed_over = *app;
    return 0;
}

typedef int Main(int argc, char **argv);
static Main mnist_cnn_main, mnist_tiny_main;

#define trainer_main hand_over
#define main mnist_cnn_main
#include "apps/mnist_cnn.c"
#undef main
#define main mnist_tiny_main
#include "apps/mnist_tiny.c"
#undef main
#undef trainer_main

enum { MNIST_CNN, MNIST_TINY, NETWORKS };
static Main *const networks[NETWORKS] = {mnist_cnn_main, mnist_tiny_main};

/* Valid until the next call. */
static inline const TrainerApp *network(int i)
{
    networks[i](0, NULL);
    return &handed_over;
}

#endif
