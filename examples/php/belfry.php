<?php

declare(strict_types=1);

/**
 * What a backend and Belfry have agreed on: subjects, and how a user id stands
 * in one. The names of the environment are those of the gateway.
 */

/** A subject behind BELFRY_NATS_PREFIX: "acme" makes acme.notification.42. */
function subject(string $name): string
{
    $prefix = (string) getenv('BELFRY_NATS_PREFIX');
    return $prefix === '' ? $name : "$prefix.$name";
}

function authenticationSubject(): string
{
    return subject(getenv('BELFRY_SUBJECTS_AUTHENTICATION') ?: 'authentication');
}

/** The durable subject of a user's notifications. */
function notificationSubject(string $user): string
{
    return subject(getenv('BELFRY_SUBJECTS_NOTIFICATION') ?: 'notification') . '.' . userToken($user);
}

/**
 * A user id as one token of a subject: as it stands where it consists of
 * [A-Za-z0-9_-], else "=" and its unpadded base64url. Dots, spaces and
 * wildcards mean something in a subject, so "a.b@c.d" is "=YS5iQGMuZA".
 * Belfry delivers this spelling only.
 */
function userToken(string $user): string
{
    $token = preg_match('/\A[A-Za-z0-9_-]+\z/', $user)
        ? $user
        : '=' . rtrim(strtr(base64_encode($user), '+/', '-_'), '=');
    if ($user === '' || strlen($token) > 128) {
        throw new InvalidArgumentException('a user id has 1 to 128 bytes as it stands in a subject');
    }
    return $token;
}

/** Pauses before try number $n: 0.1 s, doubled up to 2 s, half of it by chance. */
function pause(int $n, float $atMost = 2.0): void
{
    $seconds = min(2.0, 0.1 * 2 ** min($n, 5)) * (0.5 + mt_rand() / mt_getrandmax() / 2);
    usleep((int) (max(0.0, min($seconds, $atMost)) * 1e6));
}

/** Says on stderr what happens. Never give it a token or a payload. */
function say(string $what): void
{
    fwrite(STDERR, basename($_SERVER['argv'][0], '.php') . ": $what\n");
}
