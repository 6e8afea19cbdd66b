<?php

// PHP's curl on a journey through the inference API, as journey.py beside this folder describes
// it: a plan on standard input, a line of JSON for each step on standard output.

declare(strict_types=1);

/** The caller's own exception for an answer that is not a success. */
final class ElasticsearchError extends Exception
{
}

final class Journey
{
    private const TIMEOUT = 120; // seconds

    private readonly CurlHandle $http;

    public function __construct(private readonly array $plan)
    {
        $this->http = curl_init();
    }

    public function travel(): void
    {
        $this->create();
        $this->infer();
        $this->stream();
        $this->update();
        $this->goWrong();
        $this->delete();
        $this->everythingElse();
    }

    private function create(): void
    {
        foreach ($this->plan['endpoints'] as $endpoint) {
            $this->step("put {$endpoint['task_type']}", fn () => $this->put($endpoint));
        }
        $id = $this->plan['ids']['rerank'];
        $this->step('get', fn () => $this->call('GET', "/_inference/$id"));
        $this->step('get all', fn () => $this->call('GET', '/_inference/_all'));
    }

    private function put(array $endpoint): array
    {
        $path = "/_inference/{$endpoint['task_type']}/{$endpoint['inference_id']}";
        return $this->call('PUT', $path, $endpoint['body']);
    }

    private function infer(): void
    {
        $texts = ['input' => $this->plan['texts']];
        $prompt = ['input' => $this->plan['prompt']];
        $id = $this->plan['ids']['text_embedding'];
        $this->post('text_embedding', $this->path('text_embedding'), $texts);
        $this->rerank('rerank');
        $this->post('completion', $this->path('completion'), $prompt);
        $this->post('inference', "/_inference/$id", $texts);
    }

    private function rerank(string $step): void
    {
        $body = ['query' => $this->plan['query'], 'input' => $this->plan['documents']];
        $this->post($step, $this->path('rerank'), $body);
    }

    private function stream(): void
    {
        $prompt = ['input' => $this->plan['prompt']];
        $chat = [
            'messages' => $this->plan['messages'],
            'max_completion_tokens' => $this->plan['max_completion_tokens'],
        ];
        $streams = [
            'stream_completion' => ['completion', $prompt],
            'chat_completion_unified' => ['chat_completion', $chat],
        ];
        foreach ($streams as $step => [$taskType, $body]) {
            $path = $this->path($taskType) . '/_stream';
            $this->step($step, fn () => $this->streamed($path, $body));
        }
    }

    private function update(): void
    {
        $path = $this->path('rerank') . '/_update';
        $this->step('update', fn () => $this->call('PUT', $path, $this->plan['update']));
        $this->rerank('rerank updated');
    }

    private function goWrong(): void
    {
        $id = $this->plan['ids']['text_embedding'];
        $this->post('unknown id', '/_inference/text_embedding/nope', ['input' => 'a']);
        $this->step('put again', fn () => $this->put($this->plan['endpoints'][0]));
        $this->post('wrong task', "/_inference/completion/$id", ['input' => 'a']);
    }

    private function delete(): void
    {
        foreach (array_keys($this->plan['ids']) as $taskType) {
            $path = $this->path($taskType);
            $this->step("delete $taskType", fn () => $this->call('DELETE', $path));
            $this->step("get deleted $taskType", fn () => $this->call('GET', $path));
        }
    }

    private function everythingElse(): void
    {
        $index = $this->plan['index'];
        $lines = '';
        foreach ($this->plan['documents'] as $text) {
            $lines .= "{\"index\": {}}\n" . self::encode(['text' => $text]) . "\n";
        }
        $type = 'application/x-ndjson';
        $this->step('bulk', fn () => $this->call('POST', "/$index/_bulk?refresh=true", $lines, $type));
        $this->post('search', "/$index/_search", ['query' => ['match' => ['text' => 'paris']]]);
        $this->step('delete index', fn () => $this->call('DELETE', "/$index"));
        $this->step('no index', fn () => $this->call('GET', "/$index/_search"));
    }

    private function path(string $taskType): string
    {
        return "/_inference/$taskType/{$this->plan['ids'][$taskType]}";
    }

    private function post(string $step, string $path, array $body): void
    {
        $this->step($step, fn () => $this->call('POST', $path, $body));
    }

    private function call(
        string $method,
        string $path,
        array|string|null $body = null,
        string $type = 'application/json',
    ): array {
        [$text] = $this->send($method, $path, $body, $type);
        return json_decode($text, true, flags: JSON_THROW_ON_ERROR);
    }

    private function streamed(string $path, array $body): array
    {
        [$text, $pieces] = $this->send('POST', $path, $body, 'application/json');
        return ['text' => $text, 'pieces' => $pieces];
    }

    /** The body of a success, and in how many pieces it arrived. */
    private function send(string $method, string $path, array|string|null $body, string $type): array
    {
        [$text, $pieces] = ['', 0];
        $options = [
            CURLOPT_URL => $this->plan['proxy'] . $path,
            CURLOPT_CUSTOMREQUEST => $method,
            CURLOPT_TIMEOUT => self::TIMEOUT,
            CURLOPT_WRITEFUNCTION => function ($_, string $piece) use (&$text, &$pieces): int {
                $text .= $piece;
                $pieces++;
                return strlen($piece);
            },
        ];
        if ($body !== null) {
            $options[CURLOPT_HTTPHEADER] = ["Content-Type: $type"];
            $options[CURLOPT_POSTFIELDS] = is_string($body) ? $body : self::encode($body);
        }
        curl_reset($this->http);
        curl_setopt_array($this->http, $options);
        if (curl_exec($this->http) === false) {
            throw new RuntimeException(curl_error($this->http));
        }
        $status = curl_getinfo($this->http, CURLINFO_RESPONSE_CODE);
        if ($status >= 300) {
            throw new ElasticsearchError(json_decode($text, true)['error']['reason'], $status);
        }
        return [$text, $pieces];
    }

    private function step(string $name, callable $call): void
    {
        try {
            $answer = ['result' => $call()];
        } catch (ElasticsearchError $error) {
            $answer = ['error' => [
                'name' => $error::class,
                'status' => $error->getCode(),
                'reason' => $error->getMessage(),
            ]];
        }
        echo self::encode(['step' => $name] + $answer), "\n";
    }

    private static function encode(array $value): string
    {
        return json_encode($value, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES);
    }
}

$plan = json_decode(stream_get_contents(STDIN), true, flags: JSON_THROW_ON_ERROR);
(new Journey($plan))->travel();
