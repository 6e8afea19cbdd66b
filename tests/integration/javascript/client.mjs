// The official Elasticsearch client, one call per line.
//
// Started with the options of the client as JSON. Reads {"method", "params", "options"} lines from
// standard input and answers each with a line: {"result"}, or {"error": {"name", "status", "body"}}.
// With the option asStream, the result is the list of the chunks that arrived. The method helpers.bulk
// takes {index, documents}.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

// The packages are installed beside the folder that the tests run in, not beside this file.
const require = createRequire(`${process.cwd()}/`)
const { Client } = require('@elastic/elasticsearch')

const client = new Client(JSON.parse(process.argv[2]))

async function call ({ method, params, options }) {
  if (method === 'helpers.bulk') return await bulk(params)
  const steps = method.split('.')
  const last = steps.pop()
  const owner = steps.reduce((value, step) => value[step], client)
  const result = await owner[last](params, options)
  return options?.asStream === true ? await chunksOf(result) : result
}

// What its users give as a function does not come over standard input.
async function bulk ({ index, documents }) {
  return await client.helpers.bulk({
    datasource: documents,
    onDocument: () => ({ index: { _index: index } }),
    refreshOnCompletion: index
  })
}

async function chunksOf (stream) {
  const chunks = []
  for await (const chunk of stream) chunks.push(chunk.toString())
  return chunks
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer
  try {
    answer = { result: await call(JSON.parse(line)) }
  } catch (error) {
    const { name, message, statusCode, body } = error
    answer = { error: { name, message, status: statusCode, body } }
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
await client.close()
