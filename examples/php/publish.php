<?php

declare(strict_types=1);

/**
 * Sends a notification to a user.
 *
 *   php publish.php USER DATA [ID]
 *   php publish.php 1 '{"user_id":"1","data":"hello"}'
 *
 * DATA goes to the user's connections byte for byte; "-" reads it from stdin.
 *
 * The message is stored in a stream, and the stream says so with an ack. Why
 * wait for it: a publish without one is a packet on its way. In a burst, while
 * NATS elects a leader or restarts, such messages vanish without an error.
 * So: no ack, no success; send again, with the same id. The stream keeps the
 * first message of an id and drops its copies for two minutes, so that a retry
 * stores nothing twice where only the ack was lost.
 *
 * ID names this one event in your system ("order-17-paid"), so that a retry by
 * another process is the same message too. Without ID a fresh one is made.
 *
 * Environment: PUBLISH_DEADLINE (seconds, 10), NATS_URL (nats://127.0.0.1:4222),
 * NATS_USER, NATS_PASSWORD, NATS_CA, BELFRY_NATS_PREFIX.
 * Exit code: 0 stored, 1 not acknowledged in time, 2 cannot be sent at all.
 */

require __DIR__ . '/nats.php';
require __DIR__ . '/belfry.php';

/**
 * One try.
 *
 * @return array{stream:string,seq:int,duplicate:bool} the stream's ack
 * @throws NatsLost when there was none
 */
function store(Nats $nats, string $subject, string $id, string $data, float $seconds): array
{
    // The subject is part of the id: streams compare ids alone, and
    // "order-17" for two users is two messages.
    $reply = $nats->request($subject, $data, ['Nats-Msg-Id' => "$subject:$id"], $seconds);
    if ($reply === null) {
        throw new NatsLost('no ack in time');
    }
    if ($reply->status === 503) {
        throw new NatsLost("no stream takes $subject: Belfry makes it when it starts");
    }
    $ack = json_decode($reply->data, true);
    if (!isset($ack['stream'], $ack['seq'])) {
        throw new NatsLost('the stream says: ' . ($ack['error']['description'] ?? 'not an ack'));
    }
    return ['stream' => $ack['stream'], 'seq' => $ack['seq'], 'duplicate' => $ack['duplicate'] ?? false];
}

/** Tries until the ack is there. @throws NatsLost with the last reason, at the deadline */
function publish(string $subject, string $id, string $data, float $seconds): array
{
    $until = Nats::now() + $seconds;
    $left = fn () => $until - Nats::now();
    $nats = null;
    for ($try = 0;; $try++) {
        try {
            $nats ??= Nats::connect(min(2.0, $left()));
            return store($nats, $subject, $id, $data, min(2.0, $left()));
        } catch (NatsLost $e) {
            $nats = null; // a new connection each time: the old one may be the reason
            pause($try, $left());
            if ($left() <= 0) {
                throw $e;
            }
        }
    }
}

[, $user, $data, $id] = $argv + [null, '', null, bin2hex(random_bytes(12))];
if ($data === null || $argc > 4 || preg_match('/[^\x21-\x7e]/', $id)) {
    say('usage: php publish.php USER DATA [ID]   (DATA - reads stdin; ID without spaces)');
    exit(2);
}
if ($data === '-') {
    $data = stream_get_contents(STDIN);
}
$deadline = (float) (getenv('PUBLISH_DEADLINE') ?: 10);

try {
    $subject = notificationSubject($user);
    $ack = publish($subject, $id, $data, $deadline);
    echo json_encode(['subject' => $subject, 'id' => $id] + $ack, JSON_UNESCAPED_SLASHES), "\n";
} catch (NatsLost $e) {
    say("$subject was not acknowledged within $deadline s: " . $e->getMessage());
    say("keep it: put it with its id $id into an outbox table or a queue, and publish it again later with the same id");
    exit(1);
} catch (InvalidArgumentException | LengthException $e) {
    say('cannot be sent: ' . $e->getMessage());
    exit(2);
}
