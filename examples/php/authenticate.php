<?php

declare(strict_types=1);

/**
 * Answers Belfry's question "whose token is this?".
 *
 *   php authenticate.php
 *
 * The question is a NATS request on "authentication". Its payload is the token
 * as the client sent it, raw, no JSON around it. The answer is one of
 *
 *   {"success":true,"user_id":1}
 *   {"success":false,"user_id":null}
 *
 * Start as many as you like: they share one queue group, so each question is
 * answered once. When NATS goes away they connect again by themselves.
 *
 * Environment: NATS_URL (nats://127.0.0.1:4222), NATS_USER, NATS_PASSWORD,
 * NATS_CA, BELFRY_NATS_PREFIX, TOKEN_SECRET.
 */

require __DIR__ . '/nats.php';
require __DIR__ . '/belfry.php';

// The demo's secret. A real one is yours alone: set TOKEN_SECRET.
const DEMO_SECRET = '0wCNwGRwJ58sJdZBzUNyP6ogJVSw2OzoTYhDNl5Cnvz8rWfok5Y0yPPA2Uy2HXFj';

/**
 * The user whom a token names, or null. This part is yours: look a session up,
 * verify a signature, ask your framework. The demo's tokens are the base64 of
 * AES-128-ECB over {"user_id":1}; ECB has no signature and these never expire,
 * so take something better for real users.
 */
function userOf(string $token): int|string|null
{
    $key = substr(getenv('TOKEN_SECRET') ?: DEMO_SECRET, 0, 16);
    $sealed = base64_decode($token, true);
    if ($sealed === false || $sealed === '') {
        return null;
    }
    $plain = openssl_decrypt($sealed, 'aes-128-ecb', $key, OPENSSL_RAW_DATA);
    $claims = $plain === false ? null : json_decode($plain, true);
    $user = is_array($claims) ? $claims['user_id'] ?? null : null;
    // Belfry takes an integer up to 2^53 or a string that isn't empty.
    $valid = is_int($user) ? abs($user) <= 2 ** 53 : is_string($user) && $user !== '';
    return $valid ? $user : null;
}

function answer(NatsMessage $question): string
{
    $user = userOf($question->data);
    $from = 'connection ' . ($question->headers['belfry-connection'] ?? 'unknown');
    say($user === null ? "refused, $from" : 'accepted user ' . json_encode($user) . ", $from");
    return json_encode(
        ['success' => $user !== null, 'user_id' => $user],
        JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE,
    );
}

for ($try = 0;; $try++) {
    try {
        $nats = Nats::connect(5);
        $nats->subscribe(authenticationSubject(), 'authenticators');
        $nats->flush(5);
        $try = 0;
        say('answering ' . authenticationSubject() . ' on ' . $nats->address);
        while (true) {
            $question = $nats->wait(30);
            if ($question === null) {
                $nats->flush(5); // nothing for 30 s: is the server still there?
            } elseif ($question->reply !== '') {
                $nats->publish($question->reply, answer($question));
            }
        }
    } catch (NatsLost $e) {
        say('NATS is away, trying again: ' . $e->getMessage());
        pause($try);
    } catch (InvalidArgumentException $e) {
        say($e->getMessage()); // a wrong setting does not mend by itself
        exit(2);
    }
}
