# Ruby's own HTTP library on a journey through the inference API, as journey.py beside this folder
# describes it: a plan on standard input, a line of JSON for each step on standard output.

require "json"
require "net/http"
require "uri"

# The caller's own exception for an answer that is not a success.
class ElasticsearchError < StandardError
  attr_reader :status

  def initialize(status, body)
    @status = status
    super(JSON.parse(body).dig("error", "reason"))
  end
end

class Journey
  def initialize(plan, http)
    @plan = plan
    @http = http
    @ids = plan["ids"]
  end

  def travel
    create
    infer
    stream
    update
    go_wrong
    delete
    everything_else
  end

  private

  def create
    @plan["endpoints"].each { |endpoint| step("put #{endpoint['task_type']}") { put(endpoint) } }
    step("get") { call("GET", "/_inference/#{@ids['rerank']}") }
    step("get all") { call("GET", "/_inference/_all") }
  end

  def put(endpoint)
    call("PUT", "/_inference/#{endpoint['task_type']}/#{endpoint['inference_id']}", endpoint["body"])
  end

  def infer
    texts = { input: @plan["texts"] }
    step("text_embedding") { call("POST", path("text_embedding"), texts) }
    step("rerank") { rerank }
    step("completion") { call("POST", path("completion"), { input: @plan["prompt"] }) }
    step("inference") { call("POST", "/_inference/#{@ids['text_embedding']}", texts) }
  end

  def rerank
    call("POST", path("rerank"), { query: @plan["query"], input: @plan["documents"] })
  end

  def stream
    step("stream_completion") { streamed(path("completion"), { input: @plan["prompt"] }) }
    chat = @plan.slice("messages", "max_completion_tokens")
    step("chat_completion_unified") { streamed(path("chat_completion"), chat) }
  end

  def update
    step("update") { call("PUT", "#{path('rerank')}/_update", @plan["update"]) }
    step("rerank updated") { rerank }
  end

  def go_wrong
    step("unknown id") { call("POST", "/_inference/text_embedding/nope", { input: "a" }) }
    step("put again") { put(@plan["endpoints"].first) }
    wrong = "/_inference/completion/#{@ids['text_embedding']}"
    step("wrong task") { call("POST", wrong, { input: "a" }) }
  end

  def delete
    @ids.each_key do |task_type|
      step("delete #{task_type}") { call("DELETE", path(task_type)) }
      step("get deleted #{task_type}") { call("GET", path(task_type)) }
    end
  end

  def everything_else
    index = @plan["index"]
    lines = @plan["documents"].flat_map { |text| [{ index: {} }, { text: text }] }
    body = lines.map { |line| "#{JSON.generate(line)}\n" }.join
    step("bulk") { call("POST", "/#{index}/_bulk?refresh=true", body, "application/x-ndjson") }
    query = { query: { match: { text: "paris" } } }
    step("search") { call("POST", "/#{index}/_search", query) }
    step("delete index") { call("DELETE", "/#{index}") }
    step("no index") { call("POST", "/#{index}/_search") }
  end

  def path(task_type)
    "/_inference/#{task_type}/#{@ids[task_type]}"
  end

  def request(method, path, body, type)
    request = Net::HTTP.const_get(method.capitalize).new(path)
    unless body.nil?
      request["Content-Type"] = type
      request.body = body.is_a?(String) ? body : JSON.generate(body)
    end
    request
  end

  def call(method, path, body = nil, type = "application/json")
    response = @http.request(request(method, path, body, type))
    raise ElasticsearchError.new(response.code.to_i, response.body) unless success?(response)

    JSON.parse(response.body)
  end

  def streamed(path, body)
    pieces = []
    request = request("POST", "#{path}/_stream", body, "application/json")
    request["Accept-Encoding"] = "identity" # what Ruby unzips, it holds back until its buffer is full
    @http.request(request) do |response|
      raise ElasticsearchError.new(response.code.to_i, response.body) unless success?(response)

      response.read_body { |piece| pieces << piece }
    end
    { text: pieces.join.force_encoding("UTF-8"), pieces: pieces.size }
  end

  def success?(response)
    response.is_a?(Net::HTTPSuccess)
  end

  def step(name)
    answer = { result: yield }
  rescue ElasticsearchError => e
    answer = { error: { name: e.class.name, status: e.status, reason: e.message } }
  ensure
    puts JSON.generate({ step: name }.merge(answer)) if answer
  end
end

$stdin.set_encoding("UTF-8")
$stdout.sync = true
plan = JSON.parse($stdin.read)
proxy = URI(plan["proxy"])
Net::HTTP.start(proxy.host, proxy.port, read_timeout: 120) { |http| Journey.new(plan, http).travel }
