// Posts one AdmissionReview straight to a webhook server and checks that it denies.
// Environment: URL (whole, with path), BODY (file with the review), VUS, ITERATIONS.
import http from 'k6/http';
import { check } from 'k6';

const review = open(__ENV.BODY);

export const options = {
  scenarios: {
    review: {
      executor: 'shared-iterations',
      vus: Number(__ENV.VUS),
      iterations: Number(__ENV.ITERATIONS),
      maxDuration: '5m',
    },
  },
  insecureSkipTLSVerify: true,
  summaryTrendStats: ['avg', 'min', 'med', 'max', 'p(90)', 'p(95)', 'p(99)'],
};

export default function () {
  const answer = http.post(__ENV.URL, review, { headers: { 'Content-Type': 'application/json' } });
  check(answer, { expected: (r) => r.status === 200 && r.json('response.allowed') === false });
}
