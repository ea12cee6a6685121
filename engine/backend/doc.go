// Package backend asks the operator's own application: who is it that connects without a token, may he subscribe or
// publish, what is the answer to his rpc. One question is one POST of one JSON object, in the shapes of Centrifugo's
// proxies, so that backends written for these work.
//
// It fails closed. Only status 200 with a strict, bounded JSON object that holds result, error or disconnect is an
// answer; all else is an error, which permits nothing. A peer's bytes stand in JSON fields alone, never in the URL or a
// header, and what the backend is sent as a secret stands in no error and no log.
//
// A Client blocks its caller, up to the timeout; the engine calls it from workers that do nothing else. A backend that
// does not answer is left alone for a while by a circuit breaker, one for each hook.
package backend
