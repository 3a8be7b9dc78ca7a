// ONNX Runtime's side of tests/compare.sh, on a network that pytorch_mnist.py exported and random images.
//
// usage: node onnxruntime_mnist.js available                      whether the package is found
//        node onnxruntime_mnist.js test FILE.onnx PASSES THREADS  so many passes over 10,000 images
//        node onnxruntime_mnist.js latency FILE.onnx THREADS      prints the median milliseconds of one image
//
// The package onnxruntime-node is looked for from the current folder up and in the folder that ONNXRUNTIME names.
const [what, file, ...rest] = process.argv.slice(2);
const IMAGES = 10000, BATCH = 100, PIXELS = 28 * 28;

function load() {
  const paths = [process.cwd(), process.env.ONNXRUNTIME].filter(Boolean);
  return require(require.resolve('onnxruntime-node', { paths }));
}

async function open(threads) {
  const ort = load();
  const session = await ort.InferenceSession.create(file, { intraOpNumThreads: threads, interOpNumThreads: 1 });
  const images = count => new ort.Tensor('float32', Float32Array.from({ length: count * PIXELS }, Math.random),
                                         [count, 1, 28, 28]);
  return { session, images };
}

async function test(passes, threads) {
  const { session, images } = await open(threads);
  const x = images(BATCH);
  for (let i = 0; i < passes * IMAGES / BATCH; i++) await session.run({ x });
}

async function latency(threads) {
  const { session, images } = await open(threads);
  const x = images(1), times = [];
  for (let i = 0; i < 350; i++) {
    const start = process.hrtime.bigint();
    await session.run({ x });
    times.push(Number(process.hrtime.bigint() - start) / 1e6);
  }
  console.log(times.slice(50).sort((a, b) => a - b)[150].toFixed(4));
}

(async () => {
  if (what === 'available') load();
  else if (what === 'test') await test(Number(rest[0]), Number(rest[1]));
  else if (what === 'latency') await latency(Number(rest[0]));
  else throw new Error('usage: see the head of this file');
})().catch(error => { console.error(error.message); process.exit(1); });
