// One event stream, read as Kibana's server reads it: each chunk as text into eventsource-parser.
//
// Started with {"url", "headers", "body"} as JSON. Writes {"status", "headers", "events"} to
// standard output; an event is what the parser made of it.
import { createRequire } from 'node:module'

// The packages are installed in the folder that this runs in, not beside this file.
const require = createRequire(`${process.cwd()}/`)
const { createParser } = require('eventsource-parser')

const { url, headers, body } = JSON.parse(process.argv[2])
const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })

const events = []
const parser = createParser(event => events.push(event))
for await (const chunk of answer.body) parser.feed(Buffer.from(chunk).toString())

const { status } = answer
process.stdout.write(JSON.stringify({ status, headers: Object.fromEntries(answer.headers), events }))
