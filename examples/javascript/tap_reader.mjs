// An observer of a service's tap: offset, stream, arrays, latency since the source had the frame, frames missed.
//
//     npm install
//     node tap_reader.mjs ipc://runs/sound/learner.tap
//
// It ends when the service says that its log has ended.

import { decode } from "@msgpack/msgpack"
import { Subscriber } from "zeromq"

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  bool: Uint8Array,
}

// The values of a payload, in the order of its shape, the last axis fastest.
function read({ name, dtype, shape }, payload) {
  const kind = ARRAYS[dtype]
  if (!kind) throw new RangeError(`array ${name} has the unknown dtype ${dtype}`)
  const length = shape.reduce((product, n) => product * n, 1)
  if (payload.length !== length * kind.BYTES_PER_ELEMENT) throw new RangeError(`array ${name} has another length`)
  return new kind(new Uint8Array(payload).buffer) // a copy that begins at a multiple of the size of a value
}

const [address] = process.argv.slice(2)
if (!address) {
  console.error("usage: node tap_reader.mjs ADDRESS")
  process.exit(2)
}

const socket = new Subscriber({ maxMessageSize: 2 ** 28 })
socket.connect(address)
socket.subscribe("frame", "status")

let newest = -1 // offset; -1 before the first frame
let missed = 0
let refused = 0

// Count what lies between the newest offset and one that comes; after a restart an offset can come twice.
function jump(offset) {
  if (newest >= 0) missed += Math.max(0, offset - newest - 1)
  newest = Math.max(newest, offset)
}

for await (const [topic, first, ...parts] of socket) {
  try {
    if (topic.toString() === "status") {
      const status = decode(first)
      if (!status.finished) continue
      if (newest >= 0) missed += Math.max(0, status.newest - newest) // the frames came before it
      break
    }
    const { origin } = decode(first)
    const [header, ...payloads] = [decode(parts[0]), ...parts.slice(1)]
    if (header.version !== 1) throw new RangeError(`frame version ${header.version}`)
    if (payloads.length !== header.arrays.length) throw new RangeError("another number of payloads")
    const arrays = header.arrays.map((array, i) => ({ ...array, values: read(array, payloads[i]) }))
    jump(header.offset ?? -1)
    const words = arrays.map(({ name, dtype, shape }) => `${JSON.stringify(name)} ${shape.join("x")} ${dtype}`)
    if (origin > 0) words.push(`latency ${(Date.now() - 1000 * origin).toFixed(0)} ms`)
    console.log([`${header.offset} ${JSON.stringify(header.stream)}`, ...words, `missed ${missed}`].join("  "))
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof TypeError || error.name === "DecodeError")) throw error
    refused++ // neither a frame nor a status
  }
}
socket.close()
console.log(`ended at ${newest}, missed ${missed}, refused ${refused}`)
