// A device that pushes frames to a source of kind "devices": a sine in noise, 50 frames a second.
//
//     npm install
//     node device.mjs ipc://runs/sound/source.devices microphone [FRAMES]
//
// It may be started before the source and outlives it: ZeroMQ connects again by itself. Ctrl-C ends the stream.

import { randomBytes } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"
import { encode } from "@msgpack/msgpack"
import { Push } from "zeromq"

const RATE = 16000 // rows a second
const ROWS = 320 // of a frame
const QUEUE = 100 // frames that are kept while nobody takes them; those beyond are dropped and counted

const [address, stream, frames = "Infinity"] = process.argv.slice(2)
if (!address || !stream || !(Number(frames) >= 1)) {
  console.error("usage: node device.mjs ADDRESS STREAM [FRAMES]")
  process.exit(2)
}

const socket = new Push({ sendHighWaterMark: QUEUE, sendTimeout: 0, linger: 2000 })
socket.connect(address)

let stopped = false
process.once("SIGINT", () => (stopped = true)) // a second one ends at once
process.once("SIGTERM", () => (stopped = true))

const session = randomBytes(8).toString("hex") // the source tells by it that a device was started again
const began = Date.now() / 1000
const started = performance.now()
let dropped = 0
let count = 0 // counts the frames that are dropped too: so the source knows of them

for (let end = false; !end; count++) {
  // A sensor has a frame when its last row is there. Lag does not add up: the clock says when.
  await sleep(started + ((count + 1) * ROWS * 1000) / RATE - performance.now())
  end = stopped || count + 1 >= Number(frames)
  const header = {
    version: 1,
    stream,
    session,
    count,
    time: began + (count * ROWS) / RATE,
    rate: RATE,
    end,
    arrays: [{ name: "source", dtype: "float32", axes: ["time", "channel"], shape: [ROWS, 1] }],
  }
  const rows = Buffer.alloc(4 * ROWS)
  for (let row = 0; row < ROWS; row++) {
    const noise = 0.1 * (Math.random() - 0.5)
    rows.writeFloatLE(0.5 * Math.sin((2 * Math.PI * (count * ROWS + row)) / 100) + noise, 4 * row)
  }
  try {
    await socket.send([encode(header), rows])
  } catch (error) {
    if (error.code !== "EAGAIN") throw error
    dropped++
  }
}
socket.close()
console.log(`${count} frames, ${count * ROWS} rows, ${dropped} frames dropped`)
