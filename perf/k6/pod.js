// Creates a Pod through the API server and checks the status code of the answer.
// Environment: URL (API server), TOKEN, BODY (file with the Pod), VUS, ITERATIONS, EXPECT (status code), NAMESPACE, QUERY (?dryRun=All).
import http from 'k6/http';
import { check } from 'k6';

const pod = open(__ENV.BODY);

export const options = {
  scenarios: {
    pods: {
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
  const answer = http.post(`${__ENV.URL}/api/v1/namespaces/${__ENV.NAMESPACE}/pods${__ENV.QUERY || ''}`, pod, {
    headers: { Authorization: `Bearer ${__ENV.TOKEN}`, 'Content-Type': 'application/json' },
  });
  check(answer, { expected: (r) => r.status === Number(__ENV.EXPECT) });
}
