<?php

declare(strict_types=1);

/**
 * The part of the NATS client protocol that a backend of Belfry needs, over a
 * plain stream socket: no extension, no composer. Copy it, or take a full NATS
 * client from Packagist; authenticate.php and publish.php would look alike.
 *
 * The protocol is lines of text that end with CR LF. What is used of it:
 *
 *   server → client
 *     INFO {json}                                once, first: version, max_payload, …
 *     MSG  subject sid [reply-to] size           then size bytes and CR LF
 *     HMSG subject sid [reply-to] hsize size     hsize bytes of headers, the payload, CR LF
 *     PING, PONG, -ERR 'why'
 *   client → server
 *     CONNECT {json}                             once, after INFO
 *     SUB  subject [queue] sid, UNSUB sid
 *     PUB  subject [reply-to] size               then size bytes and CR LF
 *     HPUB subject [reply-to] hsize size         with headers: "NATS/1.0", "Name: value" …
 *     PING, PONG
 *
 * TLS is there ("tls://host:4222", or a server that demands it), with the
 * system's certificate authorities or those in the file NATS_CA. Not there:
 * NKeys and credentials files, cluster discovery; name all servers in NATS_URL.
 */

/** The connection failed or broke; connecting again may mend it. */
final class NatsLost extends RuntimeException
{
}

final class NatsMessage
{
    /** @param array<string,string> $headers by lower-case name */
    public function __construct(
        public readonly string $subject,
        public readonly string $reply,   // where an answer is awaited, or ''
        public readonly string $data,
        public readonly array $headers = [],
        public readonly int $status = 0, // 503: nobody listens on the subject of a request
    ) {
    }
}

final class Nats
{
    private string $buffer = '';
    /** @var list<NatsMessage> */
    private array $received = [];
    private int $sid = 0;
    private int $pings = 0;
    private int $pongs = 0;
    private int $maxPayload = 1 << 20;

    /** @param resource $socket */
    private function __construct(private $socket, public readonly string $address)
    {
    }

    /**
     * Connects to one of the servers in NATS_URL ("nats://a:4222,nats://b:4222";
     * user and password in it, or in NATS_USER and NATS_PASSWORD).
     *
     * @throws NatsLost when none of them can be reached within $seconds, or
     *                  refuses the credentials
     */
    public static function connect(float $seconds): self
    {
        $until = self::now() + $seconds;
        $urls = explode(',', getenv('NATS_URL') ?: 'nats://127.0.0.1:4222');
        shuffle($urls);
        $why = 'no server in NATS_URL';
        foreach ($urls as $url) {
            try {
                return self::open(trim($url), $until);
            } catch (NatsLost $e) {
                $why = $e->getMessage();
            }
        }
        throw new NatsLost($why);
    }

    /** Subscribes. Members of one queue group share the messages among them. */
    public function subscribe(string $subject, string $queue = ''): int
    {
        $this->write(rtrim("SUB $subject $queue") . ' ' . ++$this->sid . "\r\n");
        return $this->sid;
    }

    public function unsubscribe(int $sid): void
    {
        $this->write("UNSUB $sid\r\n");
    }

    /**
     * Publishes without waiting for anything: good enough for an answer to a
     * request. What must not be lost takes request(), and a stream's ack.
     *
     * @param array<string,string> $headers
     */
    public function publish(string $subject, string $data, array $headers = [], string $reply = ''): void
    {
        $head = '';
        if ($headers !== []) {
            $head = "NATS/1.0\r\n";
            foreach ($headers as $name => $value) {
                if (strpbrk("$name$value", "\r\n") !== false) {
                    throw new InvalidArgumentException("the header $name has a line break in it");
                }
                $head .= "$name: $value\r\n";
            }
            $head .= "\r\n";
        }
        $size = strlen($head) + strlen($data);
        if ($size > $this->maxPayload) {
            throw new LengthException("$size bytes are more than this NATS takes ($this->maxPayload)");
        }
        $to = $reply === '' ? $subject : "$subject $reply";
        $this->write($head === ''
            ? "PUB $to $size\r\n$data\r\n"
            : "HPUB $to " . strlen($head) . " $size\r\n$head$data\r\n");
    }

    /**
     * Publishes and waits for the answer; null when none came in time.
     *
     * @param array<string,string> $headers
     */
    public function request(string $subject, string $data, array $headers, float $seconds): ?NatsMessage
    {
        $inbox = '_INBOX.' . bin2hex(random_bytes(12));
        $sid = $this->subscribe($inbox);
        $this->publish($subject, $data, $headers, $inbox);
        $answer = $this->wait($seconds);
        $this->unsubscribe($sid);
        return $answer;
    }

    /** Waits for the next message; null when none came in time. */
    public function wait(float $seconds): ?NatsMessage
    {
        $this->pump($seconds, fn () => $this->received !== []);
        return array_shift($this->received);
    }

    /**
     * Returns once the server has taken all that was sent. Called now and then
     * it also finds a connection that died without a word.
     */
    public function flush(float $seconds): void
    {
        $this->write("PING\r\n");
        $want = ++$this->pings;
        if (!$this->pump($seconds, fn () => $this->pongs >= $want)) {
            throw new NatsLost("$this->address does not answer");
        }
    }

    /** Seconds on a clock that nobody sets back. */
    public static function now(): float
    {
        return hrtime(true) / 1e9;
    }

    private static function open(string $url, float $until): self
    {
        $parts = parse_url(str_contains($url, '://') ? $url : "nats://$url");
        if (!isset($parts['host'])) {
            throw new InvalidArgumentException('NATS_URL is not of the form nats://host:4222');
        }
        $address = $parts['host'] . ':' . ($parts['port'] ?? 4222);
        $ssl = ['peer_name' => trim($parts['host'], '[]')];
        if ($ca = getenv('NATS_CA')) {
            $ssl['cafile'] = $ca;
        }
        $left = max(0.1, $until - self::now());
        $context = stream_context_create(['ssl' => $ssl, 'socket' => ['tcp_nodelay' => true]]);
        $socket = @stream_socket_client("tcp://$address", $code, $why, $left, STREAM_CLIENT_CONNECT, $context);
        if ($socket === false) {
            throw new NatsLost("$address: $why");
        }
        stream_set_blocking($socket, false);
        $nats = new self($socket, $address);
        $nats->greet($parts, $until);
        return $nats;
    }

    /** @param array<string,mixed> $parts of the URL */
    private function greet(array $parts, float $until): void
    {
        // The server speaks first.
        $left = fn () => max(0.1, $until - self::now());
        if (!$this->pump($left(), fn () => str_contains($this->buffer, "\r\n"), parse: false)) {
            throw new NatsLost("$this->address: no greeting, is it a NATS server?");
        }
        [$line, $this->buffer] = explode("\r\n", $this->buffer, 2);
        $info = json_decode(substr($line, strlen('INFO ')), true);
        if (!str_starts_with($line, 'INFO ') || !is_array($info)) {
            throw new NatsLost("$this->address: is not a NATS server");
        }
        $this->maxPayload = $info['max_payload'] ?? $this->maxPayload;
        if (($parts['scheme'] ?? '') === 'tls' || ($info['tls_required'] ?? false)) {
            $this->secure();
        }
        $this->write('CONNECT ' . json_encode(array_filter([
            'user' => isset($parts['user']) ? rawurldecode($parts['user']) : (string) getenv('NATS_USER'),
            'pass' => isset($parts['pass']) ? rawurldecode($parts['pass']) : (string) getenv('NATS_PASSWORD'),
        ], fn ($v) => $v !== '') + [
            'name' => 'belfry example (PHP)',
            'lang' => 'php',
            'version' => '1',
            'protocol' => 1,
            'verbose' => false,      // no +OK for each line
            'pedantic' => false,
            'headers' => true,
            'no_responders' => true, // a request that nobody listens to is answered at once
        ]) . "\r\n");
        $this->flush($left()); // a wrong password shows here
    }

    private function secure(): void
    {
        stream_set_blocking($this->socket, true);
        $done = @stream_socket_enable_crypto($this->socket, true, STREAM_CRYPTO_METHOD_TLS_CLIENT);
        stream_set_blocking($this->socket, false);
        if ($done !== true) {
            $why = error_get_last()['message'] ?? 'handshake failed';
            throw new NatsLost("$this->address: TLS: $why");
        }
    }

    /** Reads, and parses, until $done; false when that took longer than $seconds. */
    private function pump(float $seconds, callable $done, bool $parse = true): bool
    {
        $until = self::now() + $seconds;
        while (true) {
            if ($parse) {
                $this->parse();
            }
            if ($done()) {
                return true;
            }
            if (!$this->read($until)) {
                return false;
            }
        }
    }

    /** Reads what is there, else waits for it; false when $until has come. */
    private function read(float $until): bool
    {
        $chunk = @fread($this->socket, 65536);
        if ($chunk !== false && $chunk !== '') {
            $this->buffer .= $chunk;
            return true;
        }
        if ($chunk === false || feof($this->socket)) {
            throw new NatsLost("$this->address closed the connection");
        }
        $left = $until - self::now();
        if ($left <= 0) {
            return false;
        }
        $this->select([$this->socket], [], $left);
        return true;
    }

    private function write(string $bytes): void
    {
        while ($bytes !== '') {
            $n = @fwrite($this->socket, $bytes);
            if ($n === false) {
                throw new NatsLost("$this->address closed the connection");
            }
            $bytes = substr($bytes, $n);
            if ($n === 0 && !$this->select([], [$this->socket], 5)) {
                throw new NatsLost("$this->address takes nothing any more");
            }
        }
    }

    /** Waits until one of the sockets is ready. A signal ends the wait early. */
    private function select(array $read, array $write, float $seconds): bool
    {
        $none = null;
        return (bool) @stream_select($read, $write, $none, (int) $seconds, (int) (fmod($seconds, 1) * 1e6));
    }

    /** Takes every complete protocol line, and its payload, from the buffer. */
    private function parse(): void
    {
        while (($end = strpos($this->buffer, "\r\n")) !== false) {
            $line = substr($this->buffer, 0, $end);
            $next = $end + 2;
            $args = preg_split('/[ \t]+/', $line);
            switch (strtoupper($args[0])) {
                case 'MSG':
                case 'HMSG':
                    $size = (int) end($args);
                    if (strlen($this->buffer) < $next + $size + 2) {
                        return; // the rest is still on its way
                    }
                    $this->received[] = self::message($args, substr($this->buffer, $next, $size));
                    $next += $size + 2;
                    break;
                case 'PING':
                    $this->write("PONG\r\n");
                    break;
                case 'PONG':
                    $this->pongs++;
                    break;
                case '-ERR':
                    throw new NatsLost("$this->address says " . substr($line, strlen('-ERR ')));
            }
            $this->buffer = substr($this->buffer, $next);
        }
    }

    /** @param list<string> $args of a MSG or HMSG line */
    private static function message(array $args, string $body): NatsMessage
    {
        $withHeaders = strtoupper($args[0]) === 'HMSG';
        $reply = count($args) > ($withHeaders ? 5 : 4) ? $args[3] : '';
        if (!$withHeaders) {
            return new NatsMessage($args[1], $reply, $body);
        }
        $hsize = (int) $args[count($args) - 2];
        $lines = explode("\r\n", rtrim(substr($body, 0, $hsize)));
        $status = (int) substr(array_shift($lines), strlen('NATS/1.0 '));
        $headers = [];
        foreach ($lines as $line) {
            [$name, $value] = explode(':', $line, 2) + ['', ''];
            $headers[strtolower($name)] = trim($value);
        }
        return new NatsMessage($args[1], $reply, substr($body, $hsize), $headers, $status);
    }
}
