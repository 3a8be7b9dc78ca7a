// ONNX Runtime's side of tests/test_interop.sh: runs networks that Weft exported and compares with what Weft computed.
//
// usage: node onnxruntime_check.js available           whether the package is found
//        node onnxruntime_check.js FOLDER TOLERANCE    ends with "N passed, N failed"
//
// A line of FOLDER/list is NETWORK.onnx INPUTS SHAPE OUTPUTS SHAPE: files of float32, shapes as 15x3 or "scalar". The
// package onnxruntime-node is looked for from the current folder up and in the folder that ONNXRUNTIME names.
const fs = require('fs'), path = require('path');
const [folder, tolerance] = process.argv.slice(2);

function load() {
  const paths = [process.cwd(), process.env.ONNXRUNTIME].filter(Boolean);
  return require(require.resolve('onnxruntime-node', { paths }));
}

function read(name) {
  const bytes = fs.readFileSync(path.join(folder, name));
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

// Why the outputs are not the expected ones, or nothing.
function difference(found, values, shape) {
  const dims = found.dims.join('x') || 'scalar';
  if (dims !== shape) return `${dims} where ${shape} is expected`;
  if (found.data.length !== values.length) return `${found.data.length} values where ${values.length} are expected`;
  for (let i = 0; i < values.length; i++) {
    const error = Math.abs(found.data[i] - values[i]);
    if (!(error <= Number(tolerance) * Math.max(1, Math.abs(values[i]))))
      return `value ${i} of ${shape}: ${found.data[i]} where ${values[i]} is expected`;
  }
}

async function check(ort, line) {
  const [network, inputs, inputShape, outputs, outputShape] = line.split(' ');
  const session = await ort.InferenceSession.create(path.join(folder, network), { logSeverityLevel: 3 });
  const x = new ort.Tensor('float32', read(inputs), inputShape === 'scalar' ? [] : inputShape.split('x').map(Number));
  const result = await session.run({ [session.inputNames[0]]: x });
  return difference(result[session.outputNames[0]], read(outputs), outputShape);
}

(async () => {
  const ort = load();
  if (folder === 'available') return;
  let passed = 0, failed = 0;
  for (const line of fs.readFileSync(path.join(folder, 'list'), 'utf8').split('\n').filter(Boolean)) {
    const wrong = await check(ort, line).catch(error => error.message);
    if (wrong) console.log(`FAIL ONNX Runtime: ${line}: ${wrong}`);
    wrong ? failed++ : passed++;
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed ? 1 : 0;
})().catch(error => { console.error(error.message); process.exit(1); });
